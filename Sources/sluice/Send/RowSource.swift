import Foundation
import NIOConcurrencyHelpers

/// A piece of the rows to send: whole lines.
enum Piece: Sendable {
    /// Lines, from files or standard input.
    case bytes([UInt8], rows: Int)
    /// Numbers of generated rows: whoever sends them makes them.
    case numbers(Range<Int>)

    var rows: Int {
        switch self {
        case .bytes(_, let rows): rows
        case .numbers(let range): range.count
        }
    }
}

extension Piece {
    /// What is left without so many rows; nil: nothing.
    func dropping(rows: Int) -> (rest: Piece?, dropped: Int) {
        guard rows > 0 else { return (self, 0) }
        guard rows < self.rows else { return (nil, self.rows) }
        switch self {
        case .numbers(let numbers): return (.numbers(numbers.dropFirst(rows)), rows)
        case .bytes(let bytes, let all):
            var left = rows
            let start = bytes.firstIndex {
                if $0 == UInt8(ascii: "\n") { left -= 1 }
                return left == 0
            }
            return (.bytes(Array(bytes[((start ?? 0) + 1)...]), rows: all - rows), rows)
        }
    }
}

/// What `sluice send` sends: several producers take pieces from it in turn.
final class RowSource: Sendable {
    /// Bytes read at once.
    static let pieceBytes = 256 << 10
    /// Generated rows at once: about as much.
    static let pieceRows = 512
    /// A longer line is refused: producers send whole lines, and this much memory is enough for that.
    static let lineBytesMax = 64 << 20

    enum Input: Sendable {
        case generated(Int)
        /// Paths; `-` is standard input.
        case files([String])
    }

    private struct State {
        var nextNumber = 0
        var files: [String]
        var descriptor: Int32?
        /// Begun and not ended by a line break yet.
        var rest: [UInt8] = []
        var takenRows = 0
    }

    /// Rows in all, where that is known.
    let rowsTotal: Int?
    /// Bytes in all, where that is known.
    let bytesTotal: Int?
    private let rowsPerPiece: Int
    private let state: NIOLockedValueBox<State>

    /// - Parameter rowsPerPiece: most generated rows of a piece.
    init(_ input: Input, rowsPerPiece: Int = pieceRows) {
        self.rowsPerPiece = max(1, rowsPerPiece)
        switch input {
        case .generated(let rows):
            rowsTotal = rows
            bytesTotal = nil
            state = NIOLockedValueBox(State(files: []))
        case .files(let paths):
            rowsTotal = nil
            bytesTotal = Self.size(of: paths)
            state = NIOLockedValueBox(State(files: paths))
        }
    }

    /// - Returns: The next piece and how many rows were taken before it; nil at the end.
    func next() throws(SendError) -> (piece: Piece, rowsBefore: Int)? {
        let result = state.withLockedValue { state in
            Result<(Piece, Int)?, SendError> { () throws(SendError) in
                guard let piece = try nextPiece(&state) else { return nil }
                defer { state.takenRows += piece.rows }
                return (piece, state.takenRows)
            }
        }
        return try result.get()
    }

    private func nextPiece(_ state: inout State) throws(SendError) -> Piece? {
        guard let rowsTotal else { return try nextLines(&state) }
        guard state.nextNumber < rowsTotal else { return nil }
        let range = state.nextNumber..<min(rowsTotal, state.nextNumber + rowsPerPiece)
        state.nextNumber = range.upperBound
        return .numbers(range)
    }

    private func nextLines(_ state: inout State) throws(SendError) -> Piece? {
        while let descriptor = try Self.open(&state) {
            var bytes = state.rest
            state.rest = []
            let held = bytes.count
            let count = try Self.read(descriptor, into: &bytes, path: state.files[0])
            if count == 0 {
                if descriptor != STDIN_FILENO { close(descriptor) }
                state.descriptor = nil
                state.files.removeFirst()
                guard held > 0 else { continue }
                // What the next file begins with is a row of its own.
                bytes.append(Self.newline)
                return .bytes(bytes, rows: 1)
            }
            guard let end = bytes[held...].lastIndex(of: Self.newline) else {
                guard bytes.count <= Self.lineBytesMax else {
                    throw SendError("\(state.files[0]): a line of more than \(Self.lineBytesMax) bytes")
                }
                state.rest = bytes
                continue
            }
            state.rest = Array(bytes[(end + 1)...])
            bytes.removeSubrange((end + 1)...)
            return .bytes(bytes, rows: bytes.count { $0 == Self.newline })
        }
        return nil
    }

    // MARK: Files

    private static let newline = UInt8(ascii: "\n")

    /// The descriptor of the first file, opened if it is not yet; nil when there are no more.
    private static func open(_ state: inout State) throws(SendError) -> Int32? {
        if let descriptor = state.descriptor { return descriptor }
        guard let path = state.files.first else { return nil }
        let descriptor = path == "-" ? STDIN_FILENO : Foundation.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw SendError("cannot open \(path): \(SystemError.text)") }
        state.descriptor = descriptor
        return descriptor
    }

    private static func read(_ descriptor: Int32, into bytes: inout [UInt8], path: String) throws(SendError) -> Int {
        let start = bytes.count
        bytes.append(contentsOf: repeatElement(0, count: pieceBytes))
        while true {
            let count = bytes.withUnsafeMutableBytes {
                Foundation.read(descriptor, $0.baseAddress! + start, pieceBytes)
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SendError("cannot read \(path): \(SystemError.text)") }
            bytes.removeLast(pieceBytes - count)
            return count
        }
    }

    /// Nil when one of them is no regular file, whose end nobody knows.
    private static func size(of paths: [String]) -> Int? {
        var sum = 0
        for path in paths {
            var status = stat()
            guard path != "-", stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
            sum += Int(status.st_size)
        }
        return sum
    }
}
