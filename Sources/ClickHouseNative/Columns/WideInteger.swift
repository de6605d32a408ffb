/// Integers of 256 bits, as two halves: what Int256, UInt256 and Decimals of more than 38 digits are made of. In memory as
/// on the wire, little-endian, the low half first.
@frozen
public struct WideInteger: Equatable, BitwiseCopyable, Sendable {
    public var low: UInt128
    public var high: UInt128

    @inlinable
    public init(low: UInt128, high: UInt128 = 0) {
        self.low = low
        self.high = high
    }

    public static let zero = WideInteger(low: 0)

    @inlinable public var isZero: Bool { low == 0 && high == 0 }
    /// The sign of two's complement.
    @inlinable public var isNegative: Bool { high >> 127 == 1 }

    /// The two's complement.
    @inlinable public var negated: WideInteger {
        let (sum, carry) = (~low).addingReportingOverflow(1)
        return WideInteger(low: sum, high: ~high &+ (carry ? 1 : 0))
    }

    /// Without the sign of two's complement.
    @inlinable public var magnitude: WideInteger { isNegative ? negated : self }

    /// Multiplies by a factor and adds a number; false when the result does not fit, or did not.
    @inlinable
    public mutating func multiply(by factor: UInt64, adding number: UInt64 = 0) -> Bool {
        let lower = low.multipliedFullWidth(by: UInt128(factor))
        let (upper, over) = high.multipliedReportingOverflow(by: UInt128(factor))
        let (sum, carry) = lower.low.addingReportingOverflow(UInt128(number))
        let (middle, spill) = upper.addingReportingOverflow(lower.high)
        let (top, more) = middle.addingReportingOverflow(carry ? 1 : 0)
        low = sum
        high = top
        return !over && !spill && !more
    }

    /// Divides by a number; returns the remainder.
    @inlinable
    public mutating func divide(by divisor: UInt64) -> UInt64 {
        let (upper, rest) = high.quotientAndRemainder(dividingBy: UInt128(divisor))
        let (lower, remainder) = UInt128(divisor).dividingFullWidth((rest, low))
        high = upper
        low = lower
        return UInt64(truncatingIfNeeded: remainder)
    }

    /// Of numbers without a sign.
    @inlinable
    public static func < (a: WideInteger, b: WideInteger) -> Bool {
        a.high == b.high ? a.low < b.low : a.high < b.high
    }

    /// 10^exponent, for exponents of 0 to 77.
    public static func powerOfTen(_ exponent: Int) -> WideInteger { powers[exponent] }

    private static let powers: [WideInteger] = (0...77).map { exponent in
        var power = WideInteger(low: 1)
        for _ in 0..<exponent { _ = power.multiply(by: 10) }
        return power
    }
}
