// Unsafe memory lives here only. The invariant: `next` lies in the scratch memory `start ..< end`, and at the begin of
// every row at least `rowBytesMax` bytes are free behind it (`beginRow` empties the scratch otherwise). A shape writes
// less than that in a row, which `endRow` checks; the memory has as much again as a margin.

/// Writes JSON rows into scratch memory and appends it, full by full, to a byte array.
struct LineBuffer {
    private var next: UnsafeMutablePointer<UInt8>
    private let start: UnsafeMutablePointer<UInt8>
    private var rowStart: UnsafeMutablePointer<UInt8>
    private let rowBytesMax: Int
    private var isFirst = true
    /// Random bits while blank space is varied, else 0.
    private var whitespace: UInt64 = 0
    private var output: [UInt8] = []

    private static let scratchBytes = 256 << 10

    static func withLines(of rowBytesMax: Int, appendingTo bytes: inout [UInt8], _ body: (inout LineBuffer) -> Void) {
        let start = UnsafeMutablePointer<UInt8>.allocate(capacity: scratchBytes)
        defer { start.deallocate() }
        var line = LineBuffer(start: start, rowBytesMax: rowBytesMax)
        swap(&line.output, &bytes)
        body(&line)
        line.flush()
        swap(&line.output, &bytes)
    }

    private init(start: UnsafeMutablePointer<UInt8>, rowBytesMax: Int) {
        self.start = start
        self.rowBytesMax = rowBytesMax
        next = start
        rowStart = start
    }

    private mutating func flush() {
        output.append(contentsOf: UnsafeBufferPointer(start: start, count: next - start))
        next = start
    }

    // MARK: Rows and keys

    @inline(__always)
    mutating func beginRow(whitespace bits: UInt64) {
        if next - start > Self.scratchBytes / 2 { flush() }
        rowStart = next
        isFirst = true
        whitespace = bits
        byte(UInt8(ascii: "{"))
    }

    @inline(__always)
    mutating func endRow() {
        if whitespace != 0 {
            blank()
            byte(UInt8(ascii: "}"))
            if whitespace & 0x300 == 0 { byte(UInt8(ascii: "\r")) }
        } else {
            byte(UInt8(ascii: "}"))
        }
        byte(UInt8(ascii: "\n"))
        precondition(next - rowStart <= rowBytesMax)
    }

    /// Begins the row anew as something that is no JSON object; `endRow` adds its brace.
    mutating func spoil(truncated: Bool) {
        next = rowStart
        raw(truncated ? #"{"seq":1,"mid":"3f2a"# : #"no JSON at all: 3.14"#)
    }

    @inline(__always)
    mutating func key(_ name: StaticString) {
        if whitespace != 0 { blank() }
        if !isFirst { byte(UInt8(ascii: ",")) }
        if whitespace != 0 { blank() }
        isFirst = false
        byte(UInt8(ascii: "\""))
        raw(name)
        byte(UInt8(ascii: "\""))
        if whitespace != 0 { blank() }
        byte(UInt8(ascii: ":"))
        if whitespace != 0 { blank() }
    }

    /// A key with a string that needs no escapes.
    mutating func key(_ name: StaticString, string: String) {
        key(name)
        byte(UInt8(ascii: "\""))
        for code in string.utf8 { byte(code) }
        byte(UInt8(ascii: "\""))
    }

    private mutating func blank() {
        whitespace = mixed(whitespace) | 1
        if whitespace & 0x30 == 0 { byte(whitespace & 0x40 == 0 ? UInt8(ascii: " ") : UInt8(ascii: "\t")) }
        if whitespace & 0x1800 == 0 { byte(UInt8(ascii: " ")) }
    }

    // MARK: Bytes

    @inline(__always)
    mutating func byte(_ value: UInt8) {
        next.pointee = value
        next += 1
    }

    @inline(__always)
    mutating func raw(_ text: StaticString) {
        next.update(from: text.utf8Start, count: text.utf8CodeUnitCount)
        next += text.utf8CodeUnitCount
    }

    @inline(__always)
    mutating func raw(_ bytes: [UInt8], _ range: Range<Int>) {
        bytes.withUnsafeBufferPointer { source in
            let part = UnsafeBufferPointer(rebasing: source[range])
            if let base = part.baseAddress { next.update(from: base, count: part.count) }
            next += part.count
        }
    }

    // MARK: Numbers

    @inline(__always)
    mutating func decimal(_ value: UInt64) {
        if value < 10 { return byte(UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: value)) }
        var digits = 1
        var limit: UInt64 = 10
        while digits < 20, value >= limit {
            digits += 1
            limit = digits < 20 ? limit &* 10 : limit
        }
        padded(value, digits: digits)
    }

    @inline(__always)
    mutating func decimal(_ value: Int64) {
        if value < 0 { byte(UInt8(ascii: "-")) }
        decimal(value.magnitude)
    }

    /// The lowest `digits` digits, with leading zeros.
    @inline(__always)
    mutating func padded(_ value: UInt64, digits: Int) {
        var rest = value
        var at = digits
        while at > 0 {
            at -= 1
            next[at] = UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        next += digits
    }

    /// Eight hexadecimal digits, one a byte, the first in the lowest byte (Swift's platforms are little-endian).
    @inline(__always)
    private func hexadecimal(_ half: UInt32) -> UInt64 {
        var x = UInt64(half)
        x = (x | x << 16) & 0x0000_FFFF_0000_FFFF
        x = (x | x << 8) & 0x00FF_00FF_00FF_00FF
        x = (x | x << 4) & 0x0F0F_0F0F_0F0F_0F0F
        // A digit above nine is 39 further in ASCII: 6 more carries into bit 4.
        let letters = ((x &+ 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101
        return (x &+ 0x3030_3030_3030_3030 &+ letters &* 39).bigEndian
    }

    /// The text of a UUID, without quotes.
    @inline(__always)
    mutating func uuid(_ high: UInt64, _ low: UInt64) {
        let a = hexadecimal(UInt32(truncatingIfNeeded: high >> 32))
        let b = hexadecimal(UInt32(truncatingIfNeeded: high))
        let c = hexadecimal(UInt32(truncatingIfNeeded: low >> 32))
        let d = hexadecimal(UInt32(truncatingIfNeeded: low))
        let out = UnsafeMutableRawPointer(next)
        out.storeBytes(of: a, as: UInt64.self)
        out.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 8, as: UInt8.self)
        out.storeBytes(of: UInt32(truncatingIfNeeded: b), toByteOffset: 9, as: UInt32.self)
        out.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 13, as: UInt8.self)
        out.storeBytes(of: UInt32(truncatingIfNeeded: b >> 32), toByteOffset: 14, as: UInt32.self)
        out.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 18, as: UInt8.self)
        out.storeBytes(of: UInt32(truncatingIfNeeded: c), toByteOffset: 19, as: UInt32.self)
        out.storeBytes(of: UInt8(ascii: "-"), toByteOffset: 23, as: UInt8.self)
        out.storeBytes(of: UInt32(truncatingIfNeeded: c >> 32), toByteOffset: 24, as: UInt32.self)
        out.storeBytes(of: d, toByteOffset: 28, as: UInt64.self)
        next += 36
    }
}
