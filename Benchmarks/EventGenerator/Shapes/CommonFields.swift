/// Fields that several tables have. The same visitor is in the same tenant and country in all of them.
extension LineBuffer {
    @inline(__always)
    private func visitor(of row: Row) -> UInt64 { skewed(row.bits(Salt.visitor), below: 400_000) }

    @inline(__always)
    private func tenant(of row: Row) -> UInt64 { skewed(row.bits(Salt.tenant), below: 200) }

    @inline(__always)
    mutating func tenantFields(_ row: Row) {
        key("oid")
        uuidString(Salt.tenant, rank: tenant(of: row))
    }

    @inline(__always)
    mutating func organisation(_ row: Row) {
        let rank = tenant(of: row)
        if rank % 7 == 3 { return }
        key("org")
        string(rank % Vocabulary.org.count, of: .org)
    }

    @inline(__always)
    mutating func visitorID(_ row: Row) {
        key("vid")
        uuidString(Salt.visitor, rank: visitor(of: row))
    }

    /// Half of the visitors are known users; the others have null or no key.
    @inline(__always)
    mutating func userID(_ row: Row) {
        let rank = visitor(of: row)
        switch mixed(rank) & 7 {
        case 0...3:
            key("uid")
            uuidString(Salt.visitor + 0x100, rank: rank)
        case 4, 5:
            key("uid")
            null()
        default: break
        }
    }

    @inline(__always)
    mutating func threadID(_ row: Row) {
        key("tid")
        uuidString(Salt.thread, rank: skewed(row.bits(Salt.thread), below: 5000))
    }

    @inline(__always)
    mutating func country(_ row: Row) {
        key("country")
        string(skewed(mixed(visitor(of: row)), below: Vocabulary.country.count), of: .country)
    }

    @inline(__always)
    mutating func createdAt(_ row: Row) {
        key("created_at")
        timeString(milliseconds: row.milliseconds)
    }

    /// A key with a word, or nothing: `n` of 256 rows have it.
    @inline(__always)
    mutating func word(_ name: StaticString, _ vocabulary: Vocabulary, _ bits: UInt64, chance n: UInt64 = 256) {
        guard chance(bits, n) else { return }
        key(name)
        string(skewed(bits, below: vocabulary.count), of: vocabulary)
    }

    @inline(__always)
    private func chance(_ bits: UInt64, _ n: UInt64) -> Bool { bits & 0xFF < n }
}
