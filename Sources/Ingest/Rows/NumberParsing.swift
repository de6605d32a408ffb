// Unsafe by design: reads byte by byte under the cursor's invariant; a newline is no digit.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

extension LineCursor {
    /// An integer, bare or in quotes, or a boolean that stands for 1 or 0.
    ///
    /// As ClickHouse reads it (SerializationNumber.cpp), but what does not fit is refused, where ClickHouse wraps around,
    /// and so is an empty string, where ClickHouse reads 0.
    @inline(__always)
    mutating func integer<T: FixedWidthInteger>(_: T.Type) throws(ParseFault) -> T {
        let quoted = take(UInt8(ascii: "\""))
        let negative = p.pointee == UInt8(ascii: "-")
        if negative || p.pointee == UInt8(ascii: "+") { p += 1 }
        guard let magnitude = try digits() else {
            // A sign belongs to digits.
            guard !negative, p[-1] != UInt8(ascii: "+") else { throw ParseFault(.notANumber) }
            return try boolean(quoted: quoted) ? 1 : 0
        }
        try endScalar(quoted: quoted)
        if negative {
            if T.isSigned {
                guard magnitude <= UInt64(T.max.magnitude) + 1 else { throw ParseFault(.outOfRange) }
                return T(truncatingIfNeeded: 0 &- magnitude)
            }
            guard magnitude == 0 else { throw ParseFault(.outOfRange) }
            return 0
        }
        guard magnitude <= UInt64(T.max) else { throw ParseFault(.outOfRange) }
        return T(truncatingIfNeeded: magnitude)
    }

    /// A run of digits; nil when there is none.
    @inline(__always)
    private mutating func digits() throws(ParseFault) -> UInt64? {
        let start = p
        var value: UInt64 = 0
        while true {
            let digit = UInt64(p.pointee &- 0x30)
            guard digit <= 9 else { break }
            value = value &* 10 &+ digit
            p += 1
        }
        let count = p - start
        if _fastPath(count > 0 && count <= 19) { return value }
        guard count > 0 else { return nil }
        // Long enough to have wrapped: again, with care.
        value = 0
        for place in 0..<count {
            let (tens, over) = value.multipliedReportingOverflow(by: 10)
            let (sum, more) = tens.addingReportingOverflow(UInt64(start[place] &- 0x30))
            guard !over, !more else { throw ParseFault(.outOfRange) }
            value = sum
        }
        return value
    }

    private mutating func boolean(quoted: Bool) throws(ParseFault) -> Bool {
        let value: Bool
        switch p.pointee {
        case UInt8(ascii: "t"):
            guard takeWord("true") else { throw ParseFault(.notANumber) }
            value = true
        case UInt8(ascii: "f"):
            guard takeWord("false") else { throw ParseFault(.notANumber) }
            value = false
        default: throw ParseFault(.notANumber)
        }
        try endScalar(quoted: quoted)
        return value
    }

    @inline(__always)
    mutating func endScalar(quoted: Bool) throws(ParseFault) {
        if quoted {
            guard take(UInt8(ascii: "\"")) else { throw ParseFault(.notANumber) }
        } else {
            guard isAtDelimiter else { throw ParseFault(.notANumber) }
        }
    }

    // MARK: - Floating point

    /// Longest text of a number that is handed to the C library.
    private static let floatBytesMax = 2048

    /// The nearest Float64 (ClickHouse's `precise_float_parsing`, on by default), bare or in quotes; inf and nan too.
    mutating func float64() throws(ParseFault) -> Double {
        try float(exactMantissaMax: 1 << 53, exactExponentMax: 22, powers: Self.powers64) { strtod($0, $1) }
    }

    /// The nearest Float32, rounded once.
    mutating func float32() throws(ParseFault) -> Float {
        try float(exactMantissaMax: 1 << 24, exactExponentMax: 10, powers: Self.powers32) { strtof($0, $1) }
    }

    private static let powers64: [Double] = (0...22).map { exponent in
        (0..<exponent).reduce(1.0) { value, _ in value * 10 }
    }
    private static let powers32: [Float] = (0...10).map { exponent in
        (0..<exponent).reduce(1.0) { value, _ in value * 10 }
    }

    /// A mantissa and a power of ten that are both exact give the nearest value with one operation (W. D. Clinger);
    /// everything else goes to the C library.
    @inline(__always)
    private mutating func float<F: BinaryFloatingPoint>(
        exactMantissaMax: UInt64, exactExponentMax: Int, powers: [F],
        slow: (UnsafePointer<CChar>, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> F
    ) throws(ParseFault) -> F {
        let quoted = take(UInt8(ascii: "\""))
        let start = p
        let negative = p.pointee == UInt8(ascii: "-")
        if negative || p.pointee == UInt8(ascii: "+") { p += 1 }
        var mantissa: UInt64 = 0
        var digits = 0
        var exponent = 0
        while p.pointee &- 0x30 <= 9 {
            mantissa = mantissa &* 10 &+ UInt64(p.pointee &- 0x30)
            digits += 1
            p += 1
        }
        if p.pointee == UInt8(ascii: ".") {
            p += 1
            let point = p
            while p.pointee &- 0x30 <= 9 {
                mantissa = mantissa &* 10 &+ UInt64(p.pointee &- 0x30)
                p += 1
            }
            exponent = point - p
            digits += p - point
        }
        guard digits > 0 else { return try special(quoted: quoted, negative: negative) }
        exponent += try power()
        let length = p - start
        try endScalar(quoted: quoted)
        if digits <= 19, mantissa <= exactMantissaMax, abs(exponent) <= exactExponentMax {
            let value = exponent < 0 ? F(mantissa) / powers[-exponent] : F(mantissa) * powers[exponent]
            return negative ? -value : value
        }
        guard length <= Self.floatBytesMax else { throw ParseFault(.tooLong) }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: length + 1) { text in
            for place in 0..<length { text[place] = CChar(bitPattern: start[place]) }
            text[length] = 0
            return slow(text.baseAddress!, nil)
        }
    }

    /// The power of ten behind an `e`, held within 100,000 either way; 0 when there is none.
    @inline(__always)
    mutating func power() throws(ParseFault) -> Int {
        guard p.pointee | 0x20 == UInt8(ascii: "e") else { return 0 }
        p += 1
        let down = p.pointee == UInt8(ascii: "-")
        if down || p.pointee == UInt8(ascii: "+") { p += 1 }
        guard p.pointee &- 0x30 <= 9 else { throw ParseFault(.notANumber) }
        var power = 0
        while p.pointee &- 0x30 <= 9 {
            power = min(100_000, power * 10 + Int(p.pointee &- 0x30))
            p += 1
        }
        return down ? -power : power
    }

    private mutating func special<F: BinaryFloatingPoint>(quoted: Bool, negative: Bool) throws(ParseFault) -> F {
        // Behind a point only digits follow.
        guard p[-1] != UInt8(ascii: ".") else { throw ParseFault(.notANumber) }
        let value: F
        switch p.pointee | 0x20 {
        case UInt8(ascii: "i"):
            guard takeLetters("infinity") || takeLetters("inf") else { throw ParseFault(.notANumber) }
            value = .infinity
        case UInt8(ascii: "n"):
            guard takeLetters("nan") else { throw ParseFault(.notANumber) }
            value = .nan
        default:
            guard !negative, p[-1] != UInt8(ascii: "+") else { throw ParseFault(.notANumber) }
            return try boolean(quoted: quoted) ? 1 : 0
        }
        try endScalar(quoted: quoted)
        return negative ? -value : value
    }

    // MARK: - Decimals

    /// A decimal of at most 38 digits as an integer of 10^-scale; digits beyond the scale are cut off, as ClickHouse
    /// does (IO/readDecimalText.h). Never goes through floating point.
    mutating func decimal(precision: Int, scale: Int) throws(ParseFault) -> Int128 {
        let quoted = take(UInt8(ascii: "\""))
        let negative = p.pointee == UInt8(ascii: "-")
        if negative || p.pointee == UInt8(ascii: "+") { p += 1 }
        var value: UInt128 = 0
        var significant = 0
        var seen = 0
        // Places behind the point that are in `value`; grows downwards for whole digits that did not fit.
        var fraction = 0
        var behindPoint = false
        while true {
            let byte = p.pointee
            if byte &- 0x30 <= 9 {
                seen += 1
                if significant < 38 {
                    value = value * 10 + UInt128(byte &- 0x30)
                    if value > 0 { significant += 1 }
                    if behindPoint { fraction += 1 }
                } else if !behindPoint {
                    fraction -= 1
                }
            } else if byte == UInt8(ascii: "."), !behindPoint {
                behindPoint = true
            } else {
                break
            }
            p += 1
        }
        guard seen > 0 else { throw ParseFault(.notANumber) }
        fraction -= try power()
        try endScalar(quoted: quoted)
        var shift = scale - fraction
        if value == 0 { shift = 0 }
        while shift < 0, value > 0 {
            value /= 10
            shift += 1
        }
        let limit = Self.powerOfTen(precision)
        while shift > 0 {
            // Before it is multiplied: ten times a value of 38 digits does not fit into 128 bits.
            guard value < limit / 10 else { throw ParseFault(.outOfRange) }
            value *= 10
            shift -= 1
        }
        guard value < limit else { throw ParseFault(.outOfRange) }
        return negative ? -Int128(value) : Int128(value)
    }

    private static func powerOfTen(_ exponent: Int) -> UInt128 { powers128[exponent] }
    private static let powers128: [UInt128] = (0...38).map { exponent in
        (0..<exponent).reduce(UInt128(1)) { value, _ in value * 10 }
    }
}
