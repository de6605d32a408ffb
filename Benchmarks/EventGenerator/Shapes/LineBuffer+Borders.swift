/// Values for `types_all`: half of them borders, the others spread over the type.
extension LineBuffer {
    mutating func pick(_ bits: UInt64, of literals: [StaticString]) {
        raw(literals[Int(scaled(bits, below: UInt64(literals.count)))])
    }

    mutating func signed(_ bits: UInt64, width: Int) {
        let highest = Int64.max >> (64 - width)
        let value: Int64 =
            switch bits & 15 {
            case 0: highest
            case 1: -highest - 1
            case 2: 0
            case 3: -1
            case 4: highest - 1
            case 5: width == 64 ? 9_007_199_254_740_993 : 1
            default: (Int64(bitPattern: mixed(bits)) >> (64 - width)) >> (Int64(bits >> 8 & 63) % Int64(width))
            }
        quoted(bits & 0xF0 == 0) { $0.decimal(value) }
    }

    mutating func unsigned(_ bits: UInt64, width: Int) {
        let highest = UInt64.max >> (64 - width)
        let value: UInt64 =
            switch bits & 15 {
            case 0: highest
            case 1: 0
            case 2: highest - 1
            case 3: highest / 2 + 1
            case 4: width == 64 ? 9_007_199_254_740_993 : 1
            default: (mixed(bits) >> (64 - width)) >> ((bits >> 8 & 63) % UInt64(width))
            }
        quoted(bits & 0xF0 == 0) { $0.decimal(value) }
    }

    /// A border, or up to `digits` random digits with a point and an exponent somewhere.
    mutating func float(_ bits: UInt64, of borders: [StaticString], digits: UInt64) {
        if bits & 1 == 0 { return pick(bits, of: borders) }
        if bits & 2 == 0 { byte(UInt8(ascii: "-")) }
        var value = mixed(bits)
        for _ in 0..<(19 - min(digits, bits >> 4 % digits + 1)) { value /= 10 }
        decimal(value % 10)
        byte(UInt8(ascii: "."))
        decimal(value / 10)
        if bits & 12 == 0 {
            byte(UInt8(ascii: "e"))
            decimal(Int64(bits >> 16 & 31) - 16)
        }
    }

    /// Border texts, words, and once in 4,096 some ten kilobytes.
    mutating func anyText(_ bits: UInt64) {
        if bits & 3 == 0 { return pick(bits, of: Border.text) }
        byte(UInt8(ascii: "\""))
        words(bits & 0xFFF == 0xABD ? 1500 : skewed(bits, below: 20), of: .message, bits: bits)
        byte(UInt8(ascii: "\""))
    }

    mutating func anyUUID(_ bits: UInt64) {
        switch bits & 15 {
        case 0: string("00000000-0000-0000-0000-000000000000")
        case 1: string("ffffffff-ffff-ffff-ffff-ffffffffffff")
        case 2: string("0123456789abcdef0123456789ABCDEF")
        case 3: string("61F0C404-5CB3-11E7-907B-A6006AD3DBA0")
        default: uuidString(mixed(bits), mixed(bits &+ 1))
        }
    }

    mutating func date(_ bits: UInt64, from first: Int64, to last: Int64, borders: [StaticString]) {
        if bits & 1 == 0 { return pick(bits, of: borders) }
        dayString(first + Int64(scaled(bits, below: UInt64(last - first + 1))))
    }

    mutating func time(_ bits: UInt64, borders: [StaticString]) {
        if bits & 1 == 0 { return pick(bits, of: borders) }
        // A day from either border, so that no zone's offset leaves the type.
        timeString(seconds: 86_400 + Int64(scaled(bits, below: 4_294_794_496)))
    }

    /// Borders that all precisions can hold, random times of 1900 to 2261 with up to nine digits, and bare ticks.
    mutating func time64(_ bits: UInt64, precision: Int) {
        if bits & 1 == 0 { return pick(bits, of: Border.time64) }
        if bits & 6 == 0 { return decimal(mixed(bits) % 1_000_000_000) }
        let seconds = Int64(mixed(bits) % 11_400_000_000) - 2_208_000_000
        // Before 1970 without a fraction: the server reads those in more than one way over the years.
        let digits = seconds < 0 ? 0 : Int(bits >> 4 % UInt64(precision + 2))
        var unit: UInt64 = 1
        for _ in 0..<digits { unit *= 10 }
        timeString(seconds: seconds, fraction: mixed(bits &+ 2) % unit, digits: min(digits, 9))
    }

    /// Up to `wholeDigits` and `scale` digits; 0.0 and the largest values are frequent. As a number or a string.
    mutating func fixedPoint(_ bits: UInt64, wholeDigits: Int, scale: Int) {
        quoted(bits & 0x30 == 0) { line in
            if bits & 1 == 0 { line.byte(UInt8(ascii: "-")) }
            let full = bits & 6 == 0
            line.digits(full ? wholeDigits : Int(bits >> 8 % UInt64(wholeDigits + 1)), full ? nil : mixed(bits))
            guard scale > 0, full || bits & 0xC0 != 0 else { return }
            line.byte(UInt8(ascii: "."))
            let places = full ? scale : 1 + Int(bits >> 16 % UInt64(scale))
            var state = bits
            for _ in 0..<places {
                state = mixed(state &+ 3)
                line.byte(UInt8(ascii: "0") + (full ? 9 : UInt8(state % 10)))
            }
        }
    }

    /// `count` digits that begin with no zero: nines, or by random bits. A zero when the count is none.
    private mutating func digits(_ count: Int, _ bits: UInt64?) {
        guard count > 0 else { return byte(UInt8(ascii: "0")) }
        var state = bits ?? 0
        for i in 0..<count {
            state = mixed(state &+ 5)
            let digit = bits == nil ? 9 : UInt8(i == 0 ? 1 + state % 9 : state % 10)
            byte(UInt8(ascii: "0") + digit)
        }
    }

    private mutating func quoted(_ isQuoted: Bool, _ body: (inout LineBuffer) -> Void) {
        if isQuoted { byte(UInt8(ascii: "\"")) }
        body(&self)
        if isQuoted { byte(UInt8(ascii: "\"")) }
    }
}
