import NIOCore
import Pipeline
import ProducerProtocol

// Rows that have numbers: which of them are new, and whose.
extension SessionState {
    mutating func nextClaim() -> Action? {
        guard let piece = pieces.popFirst() else { return nil }
        let numbers: RowRange
        switch piece {
        case .lines(let bytes, _, let given):
            numbers =
                given ?? RowRange(first: nextNumber, last: nextNumber + UInt64(max(1, bytes.countNewlines())) - 1)
        case .rows(_, _, let window, let given):
            numbers = given ?? RowRange(first: nextNumber, last: nextNumber + UInt64(window.range.count) - 1)
        case .tooLong(_, _, let given):
            let number = given ?? nextNumber
            numbers = RowRange(first: number, last: number)
        // Half a line has no number in a session with acks: its producer has it still.
        case .incomplete: return nextClaim()
        }
        nextNumber = numbers.last + 1
        claiming = (piece, numbers)
        return .take(numbers)
    }

    /// The answer to `take`.
    mutating func taken(_ taking: Producer.Taking, upTo: UInt64) {
        guard let (piece, numbers) = claiming.take(), case .open(let producer) = numbering else { return }
        switch taking {
        case .from(let first):
            duplicates += Int(clamping: first - numbers.first)
            let range = RowRange(first: first, last: min(upTo, numbers.last))
            let claimed = Chunk.Numbering(producer: producer, range: range)
            switch piece {
            case .lines(var bytes, let received, _):
                if first > numbers.first {
                    bytes.moveReaderIndex(forwardBy: bytes.length(ofLines: Int(first - numbers.first)))
                }
                if range.last < numbers.last,
                    let lines = bytes.readSlice(length: bytes.length(ofLines: Int(range.rows)))
                {
                    pieces.prepend(
                        .lines(
                            bytes, received: received,
                            numbers: RowRange(first: range.last + 1, last: numbers.last)))
                    bytes = lines
                }
                refused = .chunk(chunk(bytes, received, numbering: claimed))
            case .tooLong(let head, let length, _):
                refused = .chunk(
                    chunk(
                        ByteBuffer(), now, numbering: claimed,
                        rejection: Self.numbered(tooLong(head, length), range.first)))
            case .rows(let bytes, let received, let window, _):
                let start = window.range.lowerBound + Int(first - numbers.first)
                let end = start + Int(range.rows)
                if range.last < numbers.last {
                    pieces.prepend(
                        .rows(
                            bytes, received: received,
                            window: RowWindow(total: window.total, range: end..<window.range.upperBound),
                            numbers: RowRange(first: range.last + 1, last: numbers.last)))
                }
                refused = .chunk(
                    chunk(
                        bytes, received, numbering: claimed, window: RowWindow(total: window.total, range: start..<end))
                )
            case .incomplete: break
            }
        case .nothing:
            duplicates += Int(clamping: numbers.rows)
            forwarded = numbers.last
        case .gap(let expected):
            fail(
                SessionError(.sequenceGap, "row \(numbers.first) came where row \(expected) was expected"),
                dropsRest: true)
        case .notOwner: fail(Self.takenOver, dropsRest: true)
        }
    }

    static let takenOver = SessionError(.takenOver, "another session has this producer's name now")
}
