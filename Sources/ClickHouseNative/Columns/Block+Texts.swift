extension Block {
    /// Reads a String column.
    ///
    /// - Throws: `BlockError` when there is none of that name.
    public func readTexts(of column: String, _ take: (Int, String) -> Void) throws {
        guard let place = layout.columns.firstIndex(where: { $0.name == column && $0.type == .string }) else {
            throw BlockError(.malformed, "the answer has no text column \(column)")
        }
        let root = layout.roots[place]
        var values = ValueCursor(nodes[root].data, width: 0)
        for row in 0..<rows {
            guard let value = values.next() else { return }
            take(row, String(decoding: value, as: UTF8.self))
        }
    }
}
