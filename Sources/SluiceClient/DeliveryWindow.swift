import NIOCore
import ProducerProtocol

/// The rows that are not acked yet, and what the daemon may be sent of them: a value.
///
/// Rows have two numbers: the one that `send` returned, which only grows, and the one on the wire, which for a producer
/// without a name begins anew with each session. `base` is the difference.
struct DeliveryWindow {
    struct Frame {
        /// As `send` returned it.
        var first: UInt64
        var rows: UInt64
        var payload: ByteBuffer
        var checksum: UInt32?

        var last: UInt64 { first + rows - 1 }
    }

    /// What a WELCOME means for the rows that are here.
    enum Resumption: Equatable {
        case resumed
        /// The daemon has less than was acked and dropped; what is here goes on even so if it knows nothing at all.
        case forgotten(daemonHas: UInt64)
        /// The daemon has more than was ever sent.
        case ahead(daemonHas: UInt64)
    }

    let isNamed: Bool
    /// Frames are lines, of which those that are there already can be left out; others go again as a whole.
    let isDivisible: Bool
    private var frames = CircularBuffer<Frame>()
    /// How many of the frames were sent in this session.
    private var sent = 0
    private var sentBytes = 0
    private var credit = 0
    private var base: UInt64 = 0
    private var isFresh = true
    /// Of all frames.
    private(set) var bytes = 0
    /// All up to here are acked.
    private(set) var acked: UInt64 = 0
    /// The last row that was taken in.
    private(set) var last: UInt64 = 0

    init(isNamed: Bool, isDivisible: Bool = true) {
        self.isNamed = isNamed
        self.isDivisible = isDivisible
    }

    mutating func append(_ payload: ByteBuffer, rows: Int, checksum: UInt32?) {
        frames.append(Frame(first: last + 1, rows: UInt64(rows), payload: payload, checksum: checksum))
        last += UInt64(rows)
        bytes += payload.readableBytes
    }

    /// A session is open: all that is not there yet is to be sent again.
    mutating func welcomed(resume: UInt64, credit: Int, checksums: Bool) -> Resumption {
        self.credit = credit
        sent = 0
        sentBytes = 0
        guard isNamed else {
            // A frame that goes again as a whole has the number 1 for its first row.
            base = isDivisible ? acked : frames.first.map { $0.first - 1 } ?? acked
            trim(checksums: checksums)
            return .resumed
        }
        if isFresh {
            isFresh = false
            acked = resume
            last = resume
            return .resumed
        }
        guard resume >= acked else { return .forgotten(daemonHas: resume) }
        guard resume <= last else { return .ahead(daemonHas: resume) }
        ackReached(resume)
        trim(checksums: checksums)
        return .resumed
    }

    /// - Returns: Whether that is news.
    mutating func ackReceived(_ wire: UInt64) -> Bool {
        let number = min(wire + base, last)
        guard number > acked else { return false }
        ackReached(number)
        return true
    }

    /// The number that `send` returned for a row.
    func number(ofWire wire: UInt64) -> UInt64 { wire + base }

    func wire(of number: UInt64) -> UInt64 { number - base }

    /// The next frame that may be sent now.
    mutating func nextToSend() -> Frame? {
        guard sent < frames.count else { return nil }
        let frame = frames[frames.index(frames.startIndex, offsetBy: sent)]
        // A frame larger than the credit would never go; the daemon's limits keep frames smaller.
        guard sentBytes == 0 || sentBytes + frame.payload.readableBytes <= credit else { return nil }
        sent += 1
        sentBytes += frame.payload.readableBytes
        return frame
    }

    private mutating func ackReached(_ number: UInt64) {
        acked = number
        while let first = frames.first, first.last <= number {
            frames.removeFirst()
            bytes -= first.payload.readableBytes
            guard sent > 0 else { continue }
            sent -= 1
            sentBytes -= first.payload.readableBytes
        }
    }

    /// Takes the rows that are there already out of the first frame.
    private mutating func trim(checksums: Bool) {
        guard isDivisible, var first = frames.first, first.first <= acked else { return }
        let rows = acked - first.first + 1
        let length = first.payload.length(ofLines: Int(rows))
        first.payload.moveReaderIndex(forwardBy: length)
        first.first += rows
        first.rows -= rows
        first.checksum = checksums ? first.payload.crc32() : nil
        bytes -= length
        frames[frames.startIndex] = first
    }
}
