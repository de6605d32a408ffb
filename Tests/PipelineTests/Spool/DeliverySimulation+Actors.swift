import ClickHouseNative
import Synchronization
import TestSupport

@testable import Pipeline

// Who takes part in a simulated life, and the rows that they pass on.
extension DeliverySimulation {
    struct Violation: Error, CustomStringConvertible {
        let description: String
    }

    static let tables = [TableName(table: "a"), TableName(table: "b")]
    static let layout = BlockLayout([ColumnDefinition(name: "id", type: .uint64)])

    /// A row is its producer and number.
    struct Row: Hashable {
        let producer: Int
        let number: UInt64

        var value: UInt64 { UInt64(producer) << 40 | number }
        init(producer: Int, number: UInt64) {
            self.producer = producer
            self.number = number
        }
        init(_ value: UInt64) { self.init(producer: Int(value >> 40), number: value & 0xFF_FFFF_FFFF) }
    }

    /// What a program that sends rows knows.
    struct Client {
        let name: String
        var session: UInt64?
        var producer: Producer?
        /// The last row that was sent in this session, and the last that was acked ever.
        var sent: UInt64 = 0
        var acked: UInt64 = 0
        var committed: UInt64 = 0
    }

    /// What a session heard. Behind a lock, since producers speak from anywhere.
    final class Ear: Sendable {
        struct Heard: Sendable {
            var resume: UInt64?
            var durable: UInt64 = 0
            var committed: UInt64 = 0
        }

        let heard = Mutex(Heard())

        func hear(_ news: ProducerNews) {
            heard.withLock { heard in
                heard.resume = news.ready ?? heard.resume
                heard.durable = max(heard.durable, news.durable)
                heard.committed = max(heard.committed, news.committed)
            }
        }
    }

    /// A server that knows tokens.
    struct Server {
        var rows: [Row: Int] = [:]
        var tokens: [String: [Row]] = [:]

        mutating func insert(_ token: String, _ new: [Row]) throws {
            if let known = tokens[token] {
                // A token whose rows changed is thrown away silently by real servers: the worst there is.
                guard known == new else { throw Violation(description: "token \(token) came with other rows") }
                return
            }
            tokens[token] = new
            for row in new { rows[row, default: 0] += 1 }
        }
    }

    struct Block {
        let identity: BlockIdentity
        let rows: [Row]
        var isUnknown = false
    }

    struct OpenPart {
        let table: TableName
        let place: SpoolPlace
        let rows: [Row]
    }

    static func block(_ rows: [Row]) -> ClickHouseNative.Block {
        let block = ClickHouseNative.Block(layout: layout)
        for row in rows {
            block.nodes[0].appendFixed(row.value)
            block.commitRow()
        }
        return block
    }

    static func rows(_ block: ClickHouseNative.Block) -> [Row] {
        (0..<block.rows).map { Row(block.nodes[0].data.load(UInt64.self, at: $0 * 8)) }
    }
}
