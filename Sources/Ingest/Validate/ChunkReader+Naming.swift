// Unsafe by design: looks up keys and names where they lie in a row, with a newline behind it.

import ClickHouseNative
import Pipeline

// Which table a row is for.
extension ChunkReader {
    /// The number of a table that the row names first of all and in plain words, if rows before have named it so.
    func namedFirst(_ row: LineCursor) -> Int? {
        guard !names.isEmpty else { return nil }
        var ahead = row
        ahead.skipSpace()
        return names.firstName(of: ahead, key: tableKey).flatMap { names.number(of: $0) }
    }

    /// Gathers rows for as long as each begins as the one before, with the name of a table that is known by it.
    ///
    /// - Parameter place: the chunk's in `gathered`.
    func gatherNamed(
        _ cursor: inout LineCursor, start: Bytes, _ counted: inout LineCount, into place: UInt32
    ) {
        // Not looked for in this object for each row.
        var gathered = GatheredLines()
        swap(&gathered, &self.gathered)
        defer { swap(&gathered, &self.gathered) }
        let names = names
        while cursor.p < cursor.end {
            cursor.skipSpace()
            guard let table = names.quickNumber(of: cursor) else { return }
            gathered.takeLine(&cursor, table: table, chunk: place, start: start, &counted)
        }
    }

    /// The table that the row at the cursor names; nil: it names none, and has this value for the route to go by, or none.
    func table(
        ofRow row: LineCursor, orRouteBy route: Route?
    ) -> Result<(table: TableName?, value: LineCursor?), ParseFault> {
        var ahead = row
        var found: Result<TableName?, ParseFault> = .success(nil)
        var routed: LineCursor?
        var text = ByteRun()
        defer { text.deallocate() }
        do throws(ParseFault) {
            try ahead.forEachField(scratch: &scratch, depthMax: settings.depthMax) { name, value in
                guard tableKey.find(name.baseAddress!.assumingMemoryBound(to: UInt8.self), name.count) >= 0 else {
                    if let route, routed == nil, route.isField(name) { routed = value }
                    return true
                }
                found = .failure(ParseFault(.badTableName))
                var value = value
                if value.p.pointee == UInt8(ascii: "\""), (try? value.unescapedString(into: &text)) != nil,
                    let table = TableName(parsing: String(decoding: text.bytes, as: UTF8.self))
                {
                    found = .success(table)
                }
                return false
            }
        } catch {
            return .failure(error)
        }
        return found.map { ($0, routed) }
    }
}
