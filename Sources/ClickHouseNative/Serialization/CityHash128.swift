// Unsafe by design: reads through a raw pointer. Every load stays within the `count` bytes that the caller vouches for:
// the long loop loads 128 bytes at a time while at least 128 are left, the tail loads 32-byte pieces that end at the
// input's end (and, as at least 128 bytes came before, begin inside it), and the short forms check the length.

/// CityHash128 in its version 1.0.2, the checksum of ClickHouse's compressed frames. Later versions of CityHash give
/// other values. Algorithm by Geoff Pike and Jyrki Alakuijala (see NOTICE); learned from ClickHouse's contrib/cityhash102.
public struct CityHash128: Hashable, Sendable {
    public let low: UInt64
    public let high: UInt64

    public init(low: UInt64, high: UInt64) {
        self.low = low
        self.high = high
    }

    public init(hashing bytes: UnsafeRawBufferPointer) {
        let count = bytes.count
        guard let start = bytes.baseAddress, count > 0 else {
            self = Self.murmur(nil, 0, seed: (k0, k1))
            return
        }
        if count >= 16 {
            self = Self.seeded(start + 16, count - 16, seed: (start.word(0) ^ k3, start.word(8)))
        } else if count >= 8 {
            self = Self.murmur(nil, 0, seed: (start.word(0) ^ (UInt64(count) &* k0), start.word(count - 8) ^ k1))
        } else {
            self = Self.murmur(start, count, seed: (k0, k1))
        }
    }

    /// The form for inputs below 128 bytes, after Murmur.
    private static func murmur(_ input: UnsafeRawPointer?, _ count: Int, seed: (UInt64, UInt64)) -> CityHash128 {
        var (a, b) = seed
        var c: UInt64
        var d: UInt64
        if count <= 16 {
            a = shiftMix(a &* k1) &* k1
            c = b &* k1 &+ short(input, count)
            d = shiftMix(a &+ (count >= 8 ? input.unsafelyUnwrapped.word(0) : c))
        } else {
            let start = input.unsafelyUnwrapped
            c = mix(start.word(count - 8) &+ k1, a)
            d = mix(b &+ UInt64(count), c &+ start.word(count - 16))
            a = a &+ d
            var offset = 0
            // Each step takes 16 bytes; the last one stops 16 bytes short of the end at the latest.
            while offset < count - 16 {
                a = (a ^ (shiftMix(start.word(offset) &* k1) &* k1)) &* k1
                b ^= a
                c = (c ^ (shiftMix(start.word(offset + 8) &* k1) &* k1)) &* k1
                d ^= c
                offset += 16
            }
        }
        a = mix(a, c)
        b = mix(d, b)
        return CityHash128(low: a ^ b, high: mix(b, a))
    }

    private static func seeded(_ input: UnsafeRawPointer, _ count: Int, seed: (UInt64, UInt64)) -> CityHash128 {
        guard count >= 128 else { return murmur(input, count, seed: seed) }
        var s = input
        var (x, y) = seed
        var z = UInt64(count) &* k1
        var v0 = rotate(y ^ k1, 49) &* k1 &+ s.word(0)
        var v1 = rotate(v0, 42) &* k1 &+ s.word(8)
        var w0 = rotate(y &+ z, 35) &* k1 &+ x
        var w1 = rotate(x &+ s.word(88), 53) &* k1

        var left = count
        while left >= 128 {
            x = rotate(x &+ y &+ v0 &+ s.word(16), 37) &* k1 ^ w1
            y = rotate(y &+ v1 &+ s.word(48), 42) &* k1 ^ v0
            z = rotate(z ^ w0, 33)
            (v0, v1) = weak(s, v1 &* k1, x &+ w0)
            (w0, w1) = weak(s + 32, z &+ w1, y)
            // The second half of the round has x and z exchanged, and leaves them as they were.
            z = rotate(z &+ y &+ v0 &+ s.word(80), 37) &* k1 ^ w1
            y = rotate(y &+ v1 &+ s.word(112), 42) &* k1 ^ v0
            x = rotate(x ^ w0, 33)
            (v0, v1) = weak(s + 64, v1 &* k1, z &+ w0)
            (w0, w1) = weak(s + 96, x &+ w1, y)
            s += 128
            left -= 128
        }
        y = y &+ rotate(w0, 37) &* k0 &+ z
        x = x &+ rotate(v0 &+ z, 49) &* k0
        var done = 0
        while done < left {
            done += 32
            let piece = s + (left - done)
            y = rotate(y &- x, 42) &* k0 &+ v1
            w0 = w0 &+ piece.word(16)
            x = rotate(x, 49) &* k0 &+ w0
            w0 = w0 &+ v0
            (v0, v1) = weak(piece, v0, v1)
        }
        x = mix(x, v0)
        y = mix(y, w0)
        return CityHash128(low: mix(x &+ v1, w1) &+ y, high: mix(x &+ w1, y &+ v1))
    }

    /// Up to 16 bytes to 64 bits.
    private static func short(_ input: UnsafeRawPointer?, _ count: Int) -> UInt64 {
        guard let s = input, count > 0 else { return k2 }
        let length = UInt64(count)
        if count > 8 {
            let a = s.word(0)
            let b = s.word(count - 8)
            return mix(a, rotate(b &+ length, UInt64(count))) ^ b
        }
        if count >= 4 {
            return mix(length &+ (s.half(0) << 3), s.half(count - 4))
        }
        let a = UInt32(s.load(as: UInt8.self))
        let b = UInt32(s.load(fromByteOffset: count >> 1, as: UInt8.self))
        let c = UInt32(s.load(fromByteOffset: count - 1, as: UInt8.self))
        let y = UInt64(a &+ (b << 8))
        let z = UInt64(UInt32(count) &+ (c << 2))
        return shiftMix(y &* k2 ^ z &* k3) &* k2
    }
}

private let k0: UInt64 = 0xc3a5_c85c_97cb_3127
private let k1: UInt64 = 0xb492_b66f_be98_f273
private let k2: UInt64 = 0x9ae1_6a3b_2f90_404f
private let k3: UInt64 = 0xc949_d7c7_509e_6557

@inline(__always)
private func rotate(_ value: UInt64, _ by: UInt64) -> UInt64 { (value &>> by) | (value &<< (64 &- by)) }

@inline(__always)
private func shiftMix(_ value: UInt64) -> UInt64 { value ^ (value &>> 47) }

/// 128 bits to 64.
@inline(__always)
private func mix(_ u: UInt64, _ v: UInt64) -> UInt64 {
    let multiplier: UInt64 = 0x9ddf_ea08_eb38_2d69
    let a = shiftMix((u ^ v) &* multiplier)
    return shiftMix((v ^ a) &* multiplier) &* multiplier
}

/// 32 bytes and two seeds to 128 bits.
@inline(__always)
private func weak(_ s: UnsafeRawPointer, _ seedA: UInt64, _ seedB: UInt64) -> (UInt64, UInt64) {
    let last = s.word(24)
    let a = seedA &+ s.word(0)
    let b = rotate(seedB &+ a &+ last, 21)
    let sum = a &+ s.word(8) &+ s.word(16)
    return (sum &+ last, b &+ rotate(sum, 44) &+ a)
}

extension UnsafeRawPointer {
    @inline(__always)
    fileprivate func word(_ offset: Int) -> UInt64 {
        UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inline(__always)
    fileprivate func half(_ offset: Int) -> UInt64 {
        UInt64(UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self)))
    }
}
