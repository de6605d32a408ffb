/// What `SHOW GRANTS` prints, for servers that do not know `CHECK GRANT`.
struct GrantLines: Sendable {
    let lines: [String]

    /// Whether a right (`INSERT`) to a whole table is granted; nil: it may be, by a role or in a way that is not understood.
    func allow(_ right: String, database: String, table: String) -> Bool? {
        var isOpen = false
        for line in lines where line.hasPrefix("GRANT ") {
            guard let on = line.range(of: " ON "), let to = line.range(of: " TO ") else {
                // `GRANT role TO user`.
                isOpen = true
                continue
            }
            let rights = line[line.index(line.startIndex, offsetBy: 6)..<on.lowerBound].split(separator: ",").map {
                String($0.drop { $0 == " " })
            }
            let target = line[on.upperBound..<to.lowerBound].filter { $0 != "`" }
            guard ["*.*", "\(database).*", "\(database).\(table)"].contains(target) else {
                // Patterns such as `db*.*`, which servers have had since 24.10.
                if target.contains("*") { isOpen = true }
                continue
            }
            if rights.contains(right) || rights.contains("ALL") { return true }
            if rights.contains(where: { $0.hasPrefix("\(right)(") }) { isOpen = true }
        }
        return isOpen ? nil : false
    }
}
