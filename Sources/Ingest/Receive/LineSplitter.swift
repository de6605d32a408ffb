import NIOCore
import Pipeline

/// Cuts a session's bytes into pieces of whole lines, whatever the reads were. A value: bytes in, pieces out.
///
/// The lines of a read go out as one slice of the read buffer, uncopied. Copied is what would otherwise keep much more
/// memory alive than it is: the beginning of a line at the end of a read, and pieces that are small for their buffer.
struct LineSplitter: Sendable {
    enum Piece: Sendable {
        /// Whole lines, none too long; only the last of a session may lack its newline. The numbers are those that a
        /// frame gave them.
        case lines(ByteBuffer, received: ContinuousClock.Instant, numbers: RowRange? = nil)
        /// Of a line that is too long, its beginning, its length in bytes, and the number that a frame gave it.
        case tooLong(head: ByteBuffer, length: Int, number: UInt64? = nil)
        /// Of a line that did not come to its end, the same.
        case incomplete(head: ByteBuffer, length: Int)
        /// Whole rows of another format than NDJSON.
        case rows(ByteBuffer, received: ContinuousClock.Instant, window: RowWindow, numbers: RowRange? = nil)
    }

    private enum Phase: Sendable {
        /// `start`: the beginning of a line, in memory of its own. Can transition to: skipping.
        case lines(start: ByteBuffer?)
        /// In a line that is too long. Can transition to: lines.
        case skipping(head: ByteBuffer, length: Int)
    }

    /// Up to this size the rest of a line and the lines after it are copied into one piece; above it, the line makes a
    /// piece of its own, so that the bulk is not copied.
    static let joinBytesMax = 16 << 10

    /// Longest line, without its newline.
    let lineBytesMax: Int
    /// What is kept of a line that is too long.
    let headBytesMax: Int
    private var phase = Phase.lines(start: nil)
    /// Since when the end of a line is missing; nil: it is not.
    private(set) var partialSince: ContinuousClock.Instant?

    init(lineBytesMax: Int, headBytesMax: Int) {
        self.lineBytesMax = lineBytesMax
        self.headBytesMax = headBytesMax
    }

    mutating func bytesReceived(
        _ bytes: ByteBuffer, at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<Piece>
    ) {
        var bytes = bytes
        if case .skipping(var head, let length) = phase {
            // From here on `head` is the only reference, so that it is appended to in place.
            phase = .lines(start: nil)
            let end = bytes.firstNewline()
            let more = end ?? bytes.readableBytes
            head.writeBytes(bytes.readableBytesView.prefix(min(more, headBytesMax - head.readableBytes)))
            guard let end else {
                phase = .skipping(head: head, length: length + more)
                return
            }
            pieces.append(.tooLong(head: head, length: length + more))
            bytes.moveReaderIndex(forwardBy: end + 1)
            partialSince = nil
        }
        guard let last = bytes.lastNewline, var lines = bytes.readSlice(length: last + 1) else {
            keep(bytes, at: now)
            return
        }
        lineEnded(by: &lines, at: now, into: &pieces)
        split(lines, at: now, into: &pieces)
        keep(bytes, at: now)
    }

    /// No more comes: a last line without its newline is a line.
    mutating func inputEnded(at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<Piece>) {
        switch phase {
        case .lines(let start?): pieces.append(.lines(start, received: now))
        case .lines(nil): break
        case .skipping(let head, let length): pieces.append(.tooLong(head: head, length: length))
        }
        phase = .lines(start: nil)
        partialSince = nil
    }

    /// No more is read: what is there of a line is no line.
    mutating func inputAbandoned(into pieces: inout CircularBuffer<Piece>) {
        switch phase {
        case .lines(let start?):
            pieces.append(.incomplete(head: start.compactPrefix(headBytesMax), length: start.readableBytes))
        case .lines(nil): break
        case .skipping(let head, let length): pieces.append(.tooLong(head: head, length: length))
        }
        phase = .lines(start: nil)
        partialSince = nil
    }

    /// The line may take as long again: what went by was not the producer's fault.
    mutating func patienceRenewed(at now: ContinuousClock.Instant) {
        if partialSince != nil { partialSince = now }
    }

    /// Puts what was kept of a line before what came now, which has its end.
    private mutating func lineEnded(
        by lines: inout ByteBuffer, at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<Piece>
    ) {
        guard case .lines(var start?) = phase, let end = lines.firstNewline() else { return }
        // From here on `start` is the only reference, so that it is appended to in place.
        phase = .lines(start: nil)
        partialSince = nil
        let length = start.readableBytes + end
        if length > lineBytesMax {
            var head = start.compactPrefix(headBytesMax)
            head.writeBytes(lines.readableBytesView.prefix(min(end, headBytesMax - head.readableBytes)))
            pieces.append(.tooLong(head: head, length: length))
            lines.moveReaderIndex(forwardBy: end + 1)
        } else if lines.readableBytes <= Self.joinBytesMax {
            start.writeBuffer(&lines)
            lines = start
        } else if let rest = lines.readSlice(length: end + 1) {
            start.writeImmutableBuffer(rest)
            emit(start, at: now, into: &pieces)
        }
    }

    /// Passes whole lines on and takes out those that are too long.
    func split(
        _ lines: ByteBuffer, at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<Piece>
    ) {
        var rest = lines
        // Where a line begins in `rest`; all before it is fine.
        var start = 0
        while rest.readableBytes - start > lineBytesMax + 1 {
            // The last newline within the reach of one line: up to there no line can be too long.
            if let end = rest.lastNewline(within: start..<start + lineBytesMax + 1) {
                start = end + 1
                continue
            }
            guard let end = rest.firstNewline(from: start) else { break }
            if start > 0, let fine = rest.readSlice(length: start) { emit(fine, at: now, into: &pieces) }
            if let line = rest.readSlice(length: end - start) {
                pieces.append(.tooLong(head: line.compactPrefix(headBytesMax), length: line.readableBytes))
            }
            rest.moveReaderIndex(forwardBy: 1)
            start = 0
        }
        emit(rest, at: now, into: &pieces)
    }

    private func emit(
        _ lines: ByteBuffer, at now: ContinuousClock.Instant, into pieces: inout CircularBuffer<Piece>
    ) {
        guard lines.readableBytes > 0 else { return }
        pieces.append(.lines(lines.compactIfSparse(), received: now))
    }

    /// Keeps bytes without a newline: the beginning of a line, or more of it.
    private mutating func keep(_ bytes: ByteBuffer, at now: ContinuousClock.Instant) {
        guard bytes.readableBytes > 0, case .lines(let kept) = phase else { return }
        phase = .lines(start: nil)
        var start = kept ?? ByteBuffer()
        if partialSince == nil { partialSince = now }
        let length = start.readableBytes + bytes.readableBytes
        guard length <= lineBytesMax else {
            var head = start.compactPrefix(headBytesMax)
            head.writeBytes(bytes.readableBytesView.prefix(headBytesMax - head.readableBytes))
            phase = .skipping(head: head, length: length)
            return
        }
        if start.readableBytes == 0 { start = bytes.compactPrefix() } else { start.writeImmutableBuffer(bytes) }
        phase = .lines(start: start)
    }
}
