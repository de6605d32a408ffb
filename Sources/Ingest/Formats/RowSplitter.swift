// Unsafe by design: scans the readable bytes of a buffer within `withUnsafeReadableBytes`.

import NIOCore
import Pipeline
import ProducerProtocol

/// Cuts the bytes of a plain session of CSV or TSV into pieces of whole rows, whatever the reads were, and takes the header out
/// of them. A value: bytes in, pieces out.
struct RowSplitter: Sendable {
    private let rowBytesMax: Int
    private let headBytesMax: Int
    private var scanner: RowScanner
    /// The beginning of a row whose end did not come yet; all of it was scanned.
    private var start = ByteBuffer()
    /// Of a row that is too long: its beginning, and how many bytes of it came.
    private var skipped: (head: ByteBuffer, length: Int)?
    private(set) var partialSince: ContinuousClock.Instant?
    /// Rows of the header that did not come yet.
    private var headerRows: Int
    private var header: [ByteBuffer] = []
    /// A line of the header is too long: what comes behind it cannot be read.
    private(set) var hasBadHeader = false

    init(_ format: SessionFormat, rowBytesMax: Int, headBytesMax: Int) {
        self.rowBytesMax = rowBytesMax
        self.headBytesMax = headBytesMax
        scanner = format.scanner ?? RowScanner(delimiter: nil)
        headerRows = format.format.headerRows
    }

    /// Once, when all of it is here.
    mutating func takeHeader() -> [ByteBuffer]? {
        guard headerRows == 0, !header.isEmpty else { return nil }
        defer { header = [] }
        return header
    }

    mutating func bytesReceived(
        _ bytes: ByteBuffer, at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<LineSplitter.Piece>
    ) {
        var all = bytes
        var place = start.readableBytes
        if place > 0 {
            start.writeImmutableBuffer(bytes)
            all = start
            start = ByteBuffer()
        }
        // Where the rows begin that are to go out as a piece, and where the row begins that is looked at.
        var (first, row, rows) = (0, 0, 0)
        while let end = next(in: all, from: place) {
            defer { (row, place) = (end, end) }
            let length = end - row - 1
            if let (head, before) = skipped.take() {
                pieces.append(.tooLong(head: grown(head, all, row, length), length: before + length))
            } else if headerRows > 0, length > rowBytesMax {
                hasBadHeader = true
            } else if length > rowBytesMax {
                emit(all, first..<row, rows, at: now, into: &pieces)
                pieces.append(.tooLong(head: grown(ByteBuffer(), all, row, length), length: length))
            } else if headerRows > 0 {
                headerRows -= 1
                header.append(all.getSlice(at: all.readerIndex + row, length: length) ?? ByteBuffer())
            } else {
                rows += 1
                continue
            }
            (first, rows) = (end, 0)
        }
        emit(all, first..<row, rows, at: now, into: &pieces)
        partialSince = row == all.readableBytes && skipped == nil ? nil : partialSince ?? now
        keep(all, from: row)
    }

    private mutating func next(in bytes: ByteBuffer, from place: Int) -> Int? {
        bytes.withUnsafeReadableBytes { scanner.end(in: $0, from: place) }
    }

    private func grown(_ head: ByteBuffer, _ bytes: ByteBuffer, _ place: Int, _ length: Int) -> ByteBuffer {
        var head = head
        let more = min(length, max(0, headBytesMax - head.readableBytes))
        if let part = bytes.getSlice(at: bytes.readerIndex + place, length: more) { head.writeImmutableBuffer(part) }
        return head
    }

    private func emit(
        _ bytes: ByteBuffer, _ range: Range<Int>, _ rows: Int, at now: ContinuousClock.Instant,
        into pieces: inout CircularBuffer<LineSplitter.Piece>
    ) {
        guard rows > 0, let slice = bytes.getSlice(at: bytes.readerIndex + range.lowerBound, length: range.count) else {
            return
        }
        pieces.append(.rows(slice.compactIfSparse(), received: now, window: RowWindow(all: rows)))
    }

    private mutating func keep(_ bytes: ByteBuffer, from place: Int) {
        let length = bytes.readableBytes - place
        if let (head, before) = skipped.take() {
            skipped = (grown(head, bytes, place, length), before + length)
        } else if length > rowBytesMax {
            hasBadHeader = hasBadHeader || headerRows > 0
            skipped = (grown(ByteBuffer(), bytes, place, length), length)
        } else if length > 0, let rest = bytes.getSlice(at: bytes.readerIndex + place, length: length) {
            start = place == 0 ? rest : rest.compactPrefix()
        }
    }

    /// No more comes: a last row without its line break is a row.
    mutating func inputEnded(at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<LineSplitter.Piece>) {
        if skipped == nil, headerRows == 0, start.readableBytes > 0 {
            pieces.append(.rows(start, received: now, window: RowWindow(all: 1)))
            start = ByteBuffer()
        }
        inputAbandoned(into: &pieces)
    }

    /// No more is read: what is there of a row is no row.
    mutating func inputAbandoned(into pieces: inout CircularBuffer<LineSplitter.Piece>) {
        if let (head, length) = skipped.take() {
            pieces.append(.tooLong(head: head, length: length))
        } else if start.readableBytes > 0 {
            pieces.append(.incomplete(head: start.compactPrefix(headBytesMax), length: start.readableBytes))
        }
        start = ByteBuffer()
        partialSince = nil
    }

    mutating func patienceRenewed(at now: ContinuousClock.Instant) {
        if partialSince != nil { partialSince = now }
    }
}

/// Cuts a session's bytes: into lines, or into rows where the session has another format.
struct SessionSplitter: Sendable {
    private var lines: LineSplitter
    private(set) var rows: RowSplitter?
    private let headBytesMax: Int

    init(lineBytesMax: Int, headBytesMax: Int) {
        lines = LineSplitter(lineBytesMax: lineBytesMax, headBytesMax: headBytesMax)
        self.headBytesMax = headBytesMax
    }

    /// From here on; nothing was split yet.
    mutating func read(_ format: SessionFormat) {
        rows = RowSplitter(format, rowBytesMax: lines.lineBytesMax, headBytesMax: headBytesMax)
    }

    mutating func takeHeader() -> [ByteBuffer]? { rows?.takeHeader() }

    var partialSince: ContinuousClock.Instant? { rows.map(\.partialSince) ?? lines.partialSince }

    mutating func bytesReceived(
        _ bytes: ByteBuffer, at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<LineSplitter.Piece>
    ) {
        guard rows == nil else {
            rows?.bytesReceived(bytes, at: now, into: &pieces)
            return
        }
        lines.bytesReceived(bytes, at: now, into: &pieces)
    }

    mutating func inputEnded(at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<LineSplitter.Piece>) {
        rows == nil ? lines.inputEnded(at: now, into: &pieces) : rows?.inputEnded(at: now, into: &pieces)
    }

    mutating func inputAbandoned(into pieces: inout CircularBuffer<LineSplitter.Piece>) {
        rows == nil ? lines.inputAbandoned(into: &pieces) : rows?.inputAbandoned(into: &pieces)
    }

    mutating func patienceRenewed(at now: ContinuousClock.Instant) {
        rows == nil ? lines.patienceRenewed(at: now) : rows?.patienceRenewed(at: now)
    }
}
