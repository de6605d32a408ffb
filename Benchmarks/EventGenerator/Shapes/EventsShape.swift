/// Rows of `events`: what visitors did on a site.
struct EventsShape: RowShape {
    let fieldCount = 29

    let badFields = [
        BadField(field: 0, key: "seq", value: #""abc""#),
        BadField(field: 1, key: "eid", value: #""not-a-uuid""#),
        BadField(field: 7, key: "created_at", value: #""yesterday""#),
        BadField(field: 10, key: "duration", value: #"{"ms":1}"#),
        BadField(field: 17, key: "tags", value: #""no array""#),
    ]

    @inline(__always)
    func write(_ field: Int, of row: Row, to line: inout LineBuffer) {
        let bits = row.bits(UInt64(field))
        switch field {
        case 0:
            line.key("seq")
            line.decimal(row.number)
        case 1:
            line.key("eid")
            line.rowUUIDString(row)
        case 2: line.tenantFields(row)
        case 3: line.organisation(row)
        case 4: line.visitorID(row)
        case 5:
            line.key("sid")
            line.uuidString(Salt.visitor + 0x200, rank: skewed(bits, below: 2_000_000))
        case 6: line.userID(row)
        case 7: line.createdAt(row)
        case 8: line.word("ename", .eventName, bits)
        case 9: url(bits, &line)
        case 10:
            line.key("duration")
            line.decimal(skewed(bits, below: 600_000))
        case 11: line.word("source", .source, bits, chance: 120)
        case 12: line.word("medium", .service, bits, chance: 120)
        case 13: line.word("campaign", .campaign, bits, chance: 100)
        case 14: line.word("xid", .experiment, bits, chance: 60)
        case 15: line.word("split", .split, bits, chance: 60)
        case 16: params(bits, &line)
        case 17: tags(bits, &line)
        case 18: line.country(row)
        case 19: line.word("city", .city, bits, chance: 150)
        case 20: line.word("tz", .zone, bits, chance: 150)
        case 21: coordinate("lat", bits, within: 90, &line)
        case 22: coordinate("lon", row.bits(21) &* 31, within: 180, &line)
        case 23: line.word("browser", .browser, bits, chance: 230)
        case 24: line.word("os", .system, bits, chance: 230)
        case 25: viewport("vp_w", 320 + (bits >> 8 & 0x7FF), bits, &line)
        case 26: viewport("vp_h", 480 + (bits >> 8 & 0x3FF), row.bits(25), &line)
        case 27: revenue(row, bits, &line)
        default:
            if chance(bits, 100) {
                line.key("score")
                line.fixedPoint(bits >> 8 & 0xFFFF, scale: 5)
            }
        }
    }

    @inline(__always)
    private func url(_ bits: UInt64, _ line: inout LineBuffer) {
        line.key("url")
        line.raw(#""https:\/\/"#)
        line.entry(skewed(bits, below: Vocabulary.host.count), of: .host)
        line.entry(skewed(mixed(bits), below: Vocabulary.path.count), of: .path)
        line.byte(UInt8(ascii: "\""))
    }

    @inline(__always)
    private func params(_ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 90) else { return }
        line.key("params")
        line.raw(#""{\"element_id\":\""#)
        line.entry(skewed(bits, below: Vocabulary.element.count), of: .element)
        line.raw(#"\",\"scroll\":"#)
        line.decimal(bits >> 8 & 0x7F)
        line.raw(#"}""#)
    }

    @inline(__always)
    private func tags(_ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 60) else { return }
        line.key("tags")
        line.byte(UInt8(ascii: "["))
        let count = bits >> 16 & 3
        for i in 0..<count {
            if i > 0 { line.byte(UInt8(ascii: ",")) }
            line.string(skewed(mixed(bits &+ i), below: Vocabulary.element.count), of: .element)
        }
        line.byte(UInt8(ascii: "]"))
    }

    /// Four places behind the point: some ten metres. One in ten has null, for visitors who hide.
    @inline(__always)
    private func coordinate(_ name: StaticString, _ bits: UInt64, within limit: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 140) else { return }
        line.key(name)
        guard !chance(bits, 24) else { return line.null() }
        if bits & 0x100 != 0 { line.byte(UInt8(ascii: "-")) }
        line.fixedPoint(scaled(bits, below: limit * 10_000), scale: 4)
    }

    @inline(__always)
    private func viewport(_ name: StaticString, _ pixels: UInt64, _ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 200) else { return }
        line.key(name)
        line.decimal(pixels)
    }

    @inline(__always)
    private func revenue(_ row: Row, _ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 12) else { return }
        line.key("revenue")
        line.fixedPoint(skewed(bits, below: 500_000), scale: 2)
        line.key("invoice_id")
        line.uuidString(Salt.visitor + 0x300, rank: row.number)
    }
}
