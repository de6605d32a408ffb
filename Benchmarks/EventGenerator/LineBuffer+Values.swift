/// Whole JSON values, made of `LineBuffer`'s bytes.
extension LineBuffer {
    @inline(__always)
    mutating func null() { raw("null") }

    @inline(__always)
    mutating func bool(_ value: Bool) { value ? raw("true") : raw("false") }

    /// A string whose escapes are written out already.
    @inline(__always)
    mutating func string(_ text: StaticString) {
        byte(UInt8(ascii: "\""))
        raw(text)
        byte(UInt8(ascii: "\""))
    }

    @inline(__always)
    mutating func string(_ index: UInt64, of vocabulary: Vocabulary) {
        byte(UInt8(ascii: "\""))
        entry(index, of: vocabulary)
        byte(UInt8(ascii: "\""))
    }

    @inline(__always)
    mutating func entry(_ index: UInt64, of vocabulary: Vocabulary) {
        raw(vocabulary.bytes, vocabulary.range(Int(index)))
    }

    /// `count` words with spaces between them, without quotes.
    @inline(__always)
    mutating func words(_ count: UInt64, of vocabulary: Vocabulary, bits: UInt64) {
        var state = bits
        for i in 0..<count {
            if i > 0 { byte(UInt8(ascii: " ")) }
            state = mixed(state &+ i &+ 1)
            entry(skewed(state, below: vocabulary.count), of: vocabulary)
        }
    }

    @inline(__always)
    mutating func uuidString(_ high: UInt64, _ low: UInt64) {
        byte(UInt8(ascii: "\""))
        uuid(high, low)
        byte(UInt8(ascii: "\""))
    }

    /// The UUID of one of many things of a kind: tenant 3 is the same in every row and table.
    @inline(__always)
    mutating func uuidString(_ kind: UInt64, rank: UInt64) {
        let a = mixed(kind << 40 &+ rank)
        let b = mixed(a &+ kind)
        uuidString(a & ~0xF000 | 0x4000, b & ~(3 << 62) | 1 << 63)
    }

    /// A UUID of version 7 (RFC 9562) for the row itself: its time, bits of the seed, and its number in the lowest 40 bits.
    @inline(__always)
    mutating func rowUUIDString(_ row: Row) {
        let salt = mixed(row.seed)
        let high = row.milliseconds << 16 | 0x7000 | salt & 0xFFF
        let low = 1 << 63 | (salt >> 12 & 0x3F_FFFF) << 40 | row.number
        uuidString(high, low)
    }

    /// `whole.fraction` of a number of 10^-`scale`; trailing zeros stay.
    @inline(__always)
    mutating func fixedPoint(_ value: UInt64, scale: Int) {
        var unit: UInt64 = 1
        for _ in 0..<scale { unit &*= 10 }
        decimal(value / unit)
        byte(UInt8(ascii: "."))
        padded(value % unit, digits: scale)
    }

    /// `"2026-01-31 22:00:00"` with as many digits behind the second as asked for, by the proleptic Gregorian calendar.
    @inline(__always)
    mutating func timeString(seconds: Int64, fraction: UInt64 = 0, digits: Int = 0) {
        let days = seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400
        let rest = UInt64(seconds - days * 86_400)
        byte(UInt8(ascii: "\""))
        day(days)
        byte(UInt8(ascii: " "))
        padded(rest / 3600, digits: 2)
        byte(UInt8(ascii: ":"))
        padded(rest / 60 % 60, digits: 2)
        byte(UInt8(ascii: ":"))
        padded(rest % 60, digits: 2)
        if digits > 0 {
            byte(UInt8(ascii: "."))
            padded(fraction, digits: digits)
        }
        byte(UInt8(ascii: "\""))
    }

    @inline(__always)
    mutating func dayString(_ days: Int64) {
        byte(UInt8(ascii: "\""))
        day(days)
        byte(UInt8(ascii: "\""))
    }

    /// Civil date from days since 1970-01-01: eras of 400 years that begin on a first of March.
    @inline(__always)
    private mutating func day(_ days: Int64) {
        let shifted = UInt64(days + 719_468)
        let era = shifted / 146_097
        let ofEra = shifted % 146_097
        let yearOfEra = (ofEra - ofEra / 1460 + ofEra / 36_524 - ofEra / 146_096) / 365
        let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let month = (5 * ofYear + 2) / 153
        padded(yearOfEra + era * 400 + (month >= 10 ? 1 : 0), digits: 4)
        byte(UInt8(ascii: "-"))
        padded(month < 10 ? month + 3 : month - 9, digits: 2)
        byte(UInt8(ascii: "-"))
        padded(ofYear - (153 * month + 2) / 5 + 1, digits: 2)
    }

    /// The time of the row, with milliseconds.
    @inline(__always)
    mutating func timeString(milliseconds: UInt64) {
        timeString(seconds: Int64(milliseconds / 1000), fraction: milliseconds % 1000, digits: 3)
    }
}
