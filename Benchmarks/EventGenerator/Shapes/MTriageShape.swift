/// Rows of `mtriage`: each message comes twice to four times, on its way from `pending` to an end.
struct MTriageShape: RowShape {
    let fieldCount = 22

    /// Rows of one message; its first row's number names it.
    private static let rowsPerMessage: UInt64 = 4

    let badFields = [
        BadField(field: 1, key: "mid", value: #""not-a-uuid""#),
        BadField(field: 5, key: "version", value: #""abc""#),
        BadField(field: 10, key: "status", value: #""no_such_status""#),
        BadField(field: 6, key: "created_at", value: #""yesterday""#),
    ]

    @inline(__always)
    func write(_ field: Int, of row: Row, to line: inout LineBuffer) {
        let step = row.number % Self.rowsPerMessage
        // What belongs to the message is drawn by its first row.
        let first = Row(number: row.number - step, seed: row.seed)
        let bits = first.bits(UInt64(field))
        switch field {
        case 0: line.threadID(first)
        case 1:
            line.key("mid")
            line.rowUUIDString(first)
        case 2: line.tenantFields(first)
        case 3: line.organisation(first)
        case 4: line.userID(first)
        case 5:
            line.key("version")
            line.decimal(row.number + 1)
        case 6: line.createdAt(first)
        case 7:
            line.key("updated_at")
            line.timeString(milliseconds: first.milliseconds + step * 90_000)
        case 8: line.word("subject", .subject, bits, chance: 120)
        case 9:
            line.key("msg")
            line.byte(UInt8(ascii: "\""))
            line.words(2 + skewed(bits, below: 30), of: .message, bits: bits)
            line.byte(UInt8(ascii: "\""))
        case 10: status(step, bits, &line)
        case 11:
            line.key("urgency")
            line.decimal(Int64(skewed(bits, below: 100)))
        case 12: line.word("svc", .service, bits)
        case 13:
            line.key("attempts")
            line.decimal(step)
        case 14: time("sla_due_at", bits, first.milliseconds + 3_600_000, chance: 128, &line)
        case 15: time("follow_up_at", bits, first.milliseconds + 86_400_000, chance: 60, &line)
        case 16: time("scheduled_at", bits, first.milliseconds + 60_000, chance: 200, &line)
        case 17:
            if step == 3 { time("completed_at", bits, first.milliseconds + 270_000, chance: 240, &line) }
        case 18:
            if chance(bits, 80) {
                line.key("customer_value")
                chance(bits, 20) ? line.null() : line.fixedPoint(skewed(bits, below: 90_000_000), scale: 4)
            }
        case 19: line.word("recipient_timezone", .zone, bits, chance: 160)
        case 20:
            if chance(bits, 160) {
                line.key("scheduled_local_hour")
                chance(bits, 20) ? line.null() : line.decimal(scaled(bits, below: 24))
            }
        default:
            line.key("users")
            line.byte(UInt8(ascii: "["))
            for i in 0..<(bits >> 20 & 3) {
                if i > 0 { line.byte(UInt8(ascii: ",")) }
                line.uuidString(Salt.visitor + 0x100, rank: skewed(mixed(bits &+ i), below: 400_000))
            }
            line.byte(UInt8(ascii: "]"))
        }
    }

    @inline(__always)
    private func status(_ step: UInt64, _ bits: UInt64, _ line: inout LineBuffer) {
        line.key("status")
        switch step {
        case 0: line.string("pending")
        case 1: line.string("scheduled")
        case 2: line.string("running")
        default: line.string(chance(bits, 240) ? "done" : "escalated")
        }
    }

    /// Three in four have a time, the others null.
    @inline(__always)
    private func time(
        _ name: StaticString, _ bits: UInt64, _ milliseconds: UInt64, chance n: UInt64, _ line: inout LineBuffer
    ) {
        guard chance(bits, n) else { return }
        line.key(name)
        chance(bits, n / 4) ? line.null() : line.timeString(milliseconds: milliseconds)
    }
}
