/// The number of a row and the seed, and the random bits that follow from both.
struct Row {
    let number: UInt64
    let seed: UInt64
    private let state: UInt64

    @inline(__always)
    init(number: UInt64, seed: UInt64) {
        self.number = number
        self.seed = seed
        state = mixed(mixed(seed &+ golden) &+ number &* golden)
    }

    /// 64 random bits of this row for one use; other salts give other bits.
    @inline(__always)
    func bits(_ salt: UInt64) -> UInt64 { mixed(state &+ salt &* golden) }

    /// Milliseconds since 1970. Rows are 13 ms apart, with a little disorder, from 2026-01-31 22:00 on: a million rows
    /// cross midnight into another month, so that partitions are met.
    @inline(__always)
    var milliseconds: UInt64 { 1_769_896_800_000 + number &* 13 &+ bits(Salt.time) & 0x3FF }
}

/// What random bits are drawn for; a shape's fields draw from their own numbers, below 2^16.
enum Salt {
    static let bad: UInt64 = 0x1_0000
    static let badKind: UInt64 = 0x1_0001
    static let time: UInt64 = 0x1_0002
    static let whitespace: UInt64 = 0x1_0003
    static let visitor: UInt64 = 0x1_0004
    static let tenant: UInt64 = 0x1_0005
    static let thread: UInt64 = 0x1_0006
    static let shuffle: UInt64 = 0x2_0000
}

/// 2^64 divided by the golden ratio: the step of SplitMix64 (Steele, Lea and Flood, 2014).
private let golden: UInt64 = 0x9E37_79B9_7F4A_7C15

/// SplitMix64's finalizer.
@inline(__always)
func mixed(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
}

/// 0 ..< `limit`, each as likely; `limit` is below 2^32.
@inline(__always)
func scaled(_ bits: UInt64, below limit: UInt64) -> UInt64 { ((bits >> 32) &* limit) >> 32 }

/// 0 ..< `limit`, low ones far more likely (the density falls with the rank's power of -2/3: near Zipf's law).
@inline(__always)
func skewed(_ bits: UInt64, below limit: UInt64) -> UInt64 {
    let u = bits >> 32
    let cube = (((u &* u) >> 32) &* u) >> 32
    return (cube &* limit) >> 32
}

/// True in `n` of 256 draws, by the lowest bits, which `scaled` and `skewed` do not read.
@inline(__always)
func chance(_ bits: UInt64, _ n: UInt64) -> Bool { bits & 0xFF < n }
