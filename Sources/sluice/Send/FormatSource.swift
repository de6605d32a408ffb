import ClickHouseNative
import Foundation
import NIOConcurrencyHelpers
import NIOCore
import ProducerProtocol
import SluiceClient

/// Files of another format than NDJSON, cut into frames that are whole by themselves. What can be seen without the table is
/// checked here, before anything of a row is sent.
final class FormatSource: Sendable {
    /// Bytes of a frame, unless a row alone has more.
    static let frameBytes = 256 << 10
    /// Longest row, in the form in which it is sent: what the daemon takes as a frame, as it comes.
    static let rowBytesMax = 1 << 20

    struct Frame: Sendable {
        let payload: [UInt8]
        let rows: Int
    }

    /// Unchecked: files that are being read stay behind the lock, and nobody else holds them.
    private struct State: @unchecked Sendable {
        var files: [String]
        /// Of the file that is being read.
        var rows: FileRows?
        /// Rows that are not sent: the daemon has them.
        var skipped = 0
        var takenRows = 0
    }

    /// What each session says.
    let format: SluiceFormat
    private let state: NIOLockedValueBox<State>

    /// - Parameters:
    ///   - columns, types: of formats without a header.
    /// - Throws: `SendError` for a header that is none.
    init(_ paths: [String], _ format: RowFormat, columns: [String]?, types: [String]?, delimiter: UInt8?)
        throws(SendError)
    {
        var rows: FileRows?
        switch format {
        case .ndjson: throw SendError("NDJSON has a source of its own")
        case .native:
            self.format = SluiceFormat(format.rawValue)
        default:
            var reader = try FileRows(paths[0], format, columns, types, delimiter)
            let header = try reader.header()
            if format.isBinary, header.types == nil {
                throw SendError(
                    "\(format.rawValue) does not say what its columns are: give --columns and --types, or send RowBinaryWithNamesAndTypes"
                )
            }
            self.format = SluiceFormat(
                format.bare.rawValue, columns: header.names,
                types: format.isBinary ? header.types : types ?? header.types,
                delimiter: delimiter.map { Character(Unicode.Scalar($0)) })
            rows = reader
        }
        state = NIOLockedValueBox(State(files: paths, rows: rows))
        self.kind = format
        self.columns = columns
        self.types = types
        self.delimiter = delimiter
    }

    private let kind: RowFormat
    private let columns: [String]?
    private let types: [String]?
    private let delimiter: UInt8?

    /// The daemon has so many rows already. Before the first `next`.
    func skip(_ rows: Int) { state.withLockedValue { $0.skipped = rows } }

    /// - Returns: The next frame and how many rows were taken before it; nil at the end.
    func next() throws(SendError) -> (frame: Frame, rowsBefore: Int)? {
        let result = state.withLockedValue { state in
            Result<(Frame, Int)?, SendError> { () throws(SendError) in
                while let path = state.files.first {
                    var rows: FileRows
                    if let open = state.rows.take() { rows = open } else { rows = try open(path) }
                    if let frame = try rows.next(&state.skipped) {
                        state.rows = rows
                        defer { state.takenRows += frame.rows }
                        return (frame, state.takenRows)
                    }
                    rows.close()
                    state.files.removeFirst()
                }
                return nil
            }
        }
        return try result.get()
    }

    private func open(_ path: String) throws(SendError) -> FileRows {
        var rows = try FileRows(path, kind, columns, types, delimiter)
        let header = try rows.header()
        guard kind == .native || header.names == format.columns else {
            throw SendError("\(path): its columns are not those of the file before it; send it by itself")
        }
        return rows
    }
}
