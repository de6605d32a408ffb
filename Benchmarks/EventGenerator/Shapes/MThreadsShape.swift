/// Rows of `mthreads`: 5,000 threads that are updated again and again; `version` rises with the row's number.
struct MThreadsShape: RowShape {
    let fieldCount = 29

    let badFields = [
        BadField(field: 0, key: "tid", value: #""not-a-uuid""#),
        BadField(field: 3, key: "version", value: #""abc""#),
        BadField(field: 16, key: "xstatus", value: #""no_such_status""#),
        BadField(field: 4, key: "created_at", value: #""yesterday""#),
    ]

    @inline(__always)
    func write(_ field: Int, of row: Row, to line: inout LineBuffer) {
        let bits = row.bits(UInt64(field))
        // What belongs to the thread, not to its update, is drawn by the thread's rank.
        let thread = mixed(skewed(row.bits(Salt.thread), below: 5000))
        switch field {
        case 0: line.threadID(row)
        case 1:
            line.key("oid")
            line.uuidString(Salt.tenant, rank: thread % 200)
        case 2: line.word("org", .org, thread)
        case 3:
            line.key("version")
            line.decimal(row.number + 1)
        case 4:
            line.key("created_at")
            line.timeString(milliseconds: 1_767_225_600_000 + thread % 2_000_000_000)
        case 5:
            line.key("updated_at")
            line.timeString(milliseconds: row.milliseconds)
        case 6:
            line.key("name")
            line.byte(UInt8(ascii: "\""))
            line.words(2, of: .message, bits: thread)
            line.byte(UInt8(ascii: "\""))
        case 7: line.word("campaign", .campaign, thread)
        case 8:
            line.key("campaign_status")
            line.string(chance(bits, 200) ? "active" : chance(bits, 230) ? "paused" : "completed")
        case 9: line.word("medium", .service, thread)
        case 10: line.word("provider", .source, thread, chance: 180)
        case 11: money("provider_cost", skewed(bits, below: 9_000_000), &line)
        case 12: counter("planned_impressions", thread % 1_000_000, &line)
        case 13: counter("actual_impressions", row.number % 1_000_003, &line)
        case 14: counter("total_conversions", skewed(bits, below: 5000), &line)
        case 15: line.word("xid", .experiment, thread)
        case 16:
            line.key("xstatus")
            line.string(chance(thread, 180) ? "running" : "completed")
        case 17: flag("abz_enabled", chance(thread, 128), &line)
        case 18: ratio("abz_reward_value", bits, &line)
        case 19: ratio("abz_exploration_rate", thread, &line)
        case 20: counter("abz_sample_size", row.number % 50_021, &line)
        case 21:
            line.key("abz_confidence_level")
            chance(bits, 80) ? line.null() : line.fixedPoint(bits >> 8 & 0xFFFF, scale: 5)
        case 22:
            line.key("variant_weights")
            line.raw(#""{\"control\":"#)
            line.decimal(bits >> 8 & 0x3F)
            line.raw(#",\"b\":"#)
            line.decimal(bits >> 16 & 0x3F)
            line.raw(#"}""#)
        case 23: types(thread, &line)
        case 24: line.word("winner_variant", .split, bits, chance: 20)
        case 25: money("conversion_value", skewed(bits, below: 900_000_000), &line)
        case 26: line.word("funnel_stage", .funnel, thread, chance: 200)
        case 27:
            if chance(thread, 50) {
                line.key("ephemeral")
                chance(thread, 25) ? line.null() : line.decimal(thread >> 40)
            }
        default: flag("archived", chance(bits, 4), &line)
        }
    }

    @inline(__always)
    private func money(_ name: StaticString, _ value: UInt64, _ line: inout LineBuffer) {
        line.key(name)
        line.fixedPoint(value, scale: 4)
    }

    @inline(__always)
    private func counter(_ name: StaticString, _ value: UInt64, _ line: inout LineBuffer) {
        line.key(name)
        line.decimal(value)
    }

    @inline(__always)
    private func flag(_ name: StaticString, _ value: Bool, _ line: inout LineBuffer) {
        line.key(name)
        line.bool(value)
    }

    @inline(__always)
    private func ratio(_ name: StaticString, _ bits: UInt64, _ line: inout LineBuffer) {
        guard chance(bits, 200) else { return }
        line.key(name)
        line.fixedPoint(bits >> 8 & 0xFFFF, scale: 6)
    }

    @inline(__always)
    private func types(_ bits: UInt64, _ line: inout LineBuffer) {
        line.key("mtypes")
        line.byte(UInt8(ascii: "["))
        line.string(skewed(bits, below: Vocabulary.service.count), of: .service)
        if chance(bits, 100) {
            line.byte(UInt8(ascii: ","))
            line.string(skewed(mixed(bits), below: Vocabulary.service.count), of: .service)
        }
        line.byte(UInt8(ascii: "]"))
    }
}
