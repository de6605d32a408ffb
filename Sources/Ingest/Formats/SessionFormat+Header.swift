// Unsafe by design: hands rows to TextRow for as long as their bytes are lent.

import NIOCore
import ProducerProtocol

extension SessionFormat {
    /// Rows of text that name the columns, and their types.
    struct Header {
        let names: [String]
        let types: [String]?
    }

    /// - Parameter rows: without line breaks.
    /// - Returns: nil for what is none.
    func header(_ rows: [UnsafeRawBufferPointer]) -> Header? {
        var lists: [[String]] = []
        for row in rows {
            guard row.baseAddress != nil else { return nil }
            var cells = TextRow(row, self)
            guard let list = try? cells.texts(isCSV: format.isCSV), !list.contains("") else { return nil }
            lists.append(list)
        }
        guard let names = lists.first, lists.count == format.headerRows, Set(names).count == names.count,
            names.count <= FormatLimits.columnsMax, lists.allSatisfy({ $0.count == names.count })
        else { return nil }
        return Header(names: names, types: lists.count > 1 ? lists[1] : nil)
    }

    /// The format of a plain session whose header was this.
    func naming(_ rows: [ByteBuffer]) throws(SessionError) -> SessionFormat {
        let header: Header? = withBytes(of: rows) { self.header($0) }
        guard let header else {
            throw SessionError(
                .badHello,
                "the header must have a name for each column, each once\(format.headerRows > 1 ? ", and behind it as many types" : "")"
            )
        }
        return SessionFormat(format.bare, columns: header.names, types: header.types, delimiter: delimiter)
    }

    private func withBytes<R>(
        of rows: [ByteBuffer], _ taken: [UnsafeRawBufferPointer] = [], _ body: ([UnsafeRawBufferPointer]) -> R
    ) -> R {
        guard let row = rows.first else { return body(taken) }
        return row.withUnsafeReadableBytes { withBytes(of: Array(rows.dropFirst()), taken + [$0], body) }
    }

    /// Whether a DATA frame has the rows that it says, as far as that can be seen from outside.
    func check(_ payload: ByteBuffer, rows: UInt32) throws(SessionError) {
        guard rows > 0 else { throw SessionError(.badFrame, "a DATA frame that says 0 rows") }
        // Numbers without rows.
        guard payload.readableBytes > 0, format.isText else { return }
        guard let found = RowScanner.count(payload, delimiter: format.isCSV ? delimiter : nil) else {
            throw SessionError(.badFrame, "a DATA frame whose last row is not ended by LF")
        }
        let lines = Int(rows) + format.headerRows
        guard found == lines else {
            throw SessionError(
                .badFrame, "a DATA frame that says \(rows) rows and has \(found - format.headerRows) behind its header")
        }
    }
}
