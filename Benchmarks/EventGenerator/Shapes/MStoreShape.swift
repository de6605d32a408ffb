/// Rows of `mstore`: messages, clicks and conversions. Some 20 of its columns a row, 485 bytes on average.
struct MStoreShape: RowShape {
    let fieldCount = 24

    let badFields = [
        BadField(field: 0, key: "seq", value: #""abc""#),
        BadField(field: 1, key: "mid", value: #""not-a-uuid""#),
        BadField(field: 8, key: "created_at", value: #""yesterday""#),
        BadField(field: 9, key: "kind", value: #""no_such_kind""#),
        BadField(field: 21, key: "mtypes", value: #"{"a":1}"#),
    ]

    @inline(__always)
    func write(_ field: Int, of row: Row, to line: inout LineBuffer) {
        let bits = row.bits(UInt64(field))
        switch field {
        case 0:
            line.key("seq")
            line.decimal(row.number)
        case 1:
            line.key("mid")
            line.rowUUIDString(row)
        case 2: parent(row, bits, &line)
        case 3: line.threadID(row)
        case 4: line.tenantFields(row)
        case 5: line.organisation(row)
        case 6: line.visitorID(row)
        case 7: line.userID(row)
        case 8: line.createdAt(row)
        case 9: kind(row, &line)
        case 10: line.word("svc", .service, bits)
        case 11: line.word("subject", .subject, bits, chance: 24)
        case 12: message(bits, &line)
        case 13:
            line.key("urgency")
            line.decimal(Int64(skewed(bits, below: 12)) - 1)
        case 14:
            if chance(bits, 40) {
                line.key("sys")
                line.bool(bits & 0x100 != 0)
            }
        case 15: line.word("xid", .experiment, bits, chance: 120)
        case 16: line.word("split", .split, bits, chance: 120)
        case 17: line.word("funnel_stage", .funnel, bits, chance: 150)
        case 18: line.country(row)
        case 19: revenue(bits, &line)
        case 20: score(bits, &line)
        case 21: types(bits, &line)
        case 22: data(bits, &line)
        default:
            if chance(bits, 30) {
                line.key("conversion_event_count")
                line.decimal(skewed(bits, below: 40))
            }
        }
    }

    /// One in ten answers a message that came shortly before.
    @inline(__always)
    private func parent(_ row: Row, _ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 40) else { return }
        line.key("pmid")
        if chance(bits, 24), row.number > 0 {
            let back = 1 + skewed(bits, below: min(row.number, 1000))
            line.rowUUIDString(Row(number: row.number - back, seed: row.seed))
        } else {
            line.null()
        }
    }

    @inline(__always)
    private func kind(_ row: Row, _ line: inout LineBuffer) {
        line.key("kind")
        switch row.bits(9) >> 60 {
        case 0...6: line.string("event")
        case 7...9: line.string("impression")
        case 10, 11: line.string("chat")
        case 12: line.string("ad_click")
        case 13: line.string("email")
        case 14: line.string(row.bits(9) & 1 == 0 ? "sms" : "push")
        default: line.string("conversion")
        }
    }

    @inline(__always)
    private func message(_ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 200) else { return }
        line.key("msg")
        line.byte(UInt8(ascii: "\""))
        line.words(1 + skewed(bits, below: 48), of: .message, bits: bits)
        line.byte(UInt8(ascii: "\""))
    }

    @inline(__always)
    private func revenue(_ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 40) else { return }
        line.key("revenue")
        guard chance(bits, 16) else { return line.null() }
        let cents = skewed(bits, below: 500_000)
        // As JSON numbers and, like clients that are careful with money, as strings.
        if bits & 0x100 == 0 {
            line.fixedPoint(cents, scale: 2)
        } else {
            line.byte(UInt8(ascii: "\""))
            line.fixedPoint(cents, scale: 4)
            line.byte(UInt8(ascii: "\""))
        }
    }

    @inline(__always)
    private func score(_ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 80) else { return }
        line.key("score")
        chance(bits, 16) ? line.null() : line.fixedPoint(bits >> 8 & 0xFFFF, scale: 4)
    }

    @inline(__always)
    private func types(_ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 128) else { return }
        line.key("mtypes")
        line.byte(UInt8(ascii: "["))
        let count = bits >> 16 & 3
        for i in 0..<count {
            if i > 0 { line.byte(UInt8(ascii: ",")) }
            line.string(skewed(mixed(bits &+ i), below: Vocabulary.service.count), of: .service)
        }
        line.byte(UInt8(ascii: "]"))
    }

    /// JSON inside of a string, as the tracker's clients send it.
    @inline(__always)
    private func data(_ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 150) else { return }
        line.key("data")
        line.raw(#""{\"page\":\""#)
        line.entry(skewed(bits, below: Vocabulary.path.count), of: .path)
        line.raw(#"\",\"el\":\""#)
        line.entry(skewed(mixed(bits), below: Vocabulary.element.count), of: .element)
        line.raw(#"\",\"x\":"#)
        line.decimal(bits >> 8 & 0x7FF)
        line.raw(#"}""#)
    }
}
