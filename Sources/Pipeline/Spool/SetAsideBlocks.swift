/// Frozen blocks that wait on the disk because their table takes none for now, while those of other tables go past them
/// (docs/specs/sinks.md, "A table that takes nothing for a while"). A value; `SetAside` puts a lock and a clock around it.
struct SetAsideBlocks: Sendable {
    /// How long a table is left alone, doubling with each block that comes back.
    static let waitMin: Duration = .seconds(1)
    static let waitMax: Duration = .seconds(30)
    /// Blocks of one table that are on their way again at once, when it takes some.
    static let windowMax = 4
    /// Blocks of all tables together; further ones are held where they are.
    static let blocksMax = 10_000

    struct Block: Hashable, Sendable {
        let id: UInt64
        let rows: Int
        /// An attempt at it ended without an answer that counts.
        let mayHaveBeenSent: Bool
    }

    private struct Table {
        var waiting: [Block] = []
        /// On their way again.
        var out: [UInt64: Block] = [:]
        /// How many may be.
        var window = 1
        var wait = SetAsideBlocks.waitMin
        /// Not before this; nil: whenever the window lets them.
        var due: StageClock.Instant?
        /// What came last was refused. Can change to: false when a block is taken; true when one is not.
        var isRefusing = true

        mutating func refused(now: StageClock.Instant) {
            isRefusing = true
            window = 1
            due = now + wait
        }
    }

    private var tables: [TableName: Table] = [:]
    private var tablesOut: [UInt64: TableName] = [:]
    private(set) var count = 0
    private(set) var rows = 0

    var refusingTables: Int { tables.values.reduce(0) { $0 + ($1.isRefusing ? 1 : 0) } }

    /// Whether a block had better be set aside without an attempt. Those that are sent again are how a table is found well.
    func isRefusing(_ table: TableName, _ id: UInt64) -> Bool {
        tables[table]?.isRefusing == true && tablesOut[id] == nil
    }

    /// Whether a block is one that came back.
    func isOut(_ id: UInt64) -> Bool { tablesOut[id] != nil }

    /// - Parameter wasTried: the table has just refused it; otherwise it only queues up behind those that it has refused.
    /// - Returns: false when there are too many: whoever has the block keeps it.
    mutating func put(_ block: Block, of name: TableName, wasTried: Bool, now: StageClock.Instant) -> Bool {
        if tablesOut.removeValue(forKey: block.id) != nil, var table = tables[name] {
            table.out[block.id] = nil
            table.waiting.insert(block, at: 0)
            table.wait = min(table.wait * 2, Self.waitMax)
            table.refused(now: now)
            tables[name] = table
            return true
        }
        guard count < Self.blocksMax else { return false }
        var table = tables[name] ?? Table()
        table.waiting.append(block)
        if wasTried { table.refused(now: now) }
        tables[name] = table
        count += 1
        rows += block.rows
        return true
    }

    /// A block is settled or was split; if it had been set aside, its table takes blocks again.
    mutating func ended(_ id: UInt64) {
        guard let name = tablesOut.removeValue(forKey: id), var table = tables[name],
            let block = table.out.removeValue(forKey: id)
        else { return }
        count -= 1
        rows -= block.rows
        table.isRefusing = false
        table.window = min(table.window * 2, Self.windowMax)
        table.wait = Self.waitMin
        table.due = nil
        tables[name] = table.waiting.isEmpty && table.out.isEmpty ? nil : table
    }

    /// The next block that may be tried again, or when to ask again (nil: when something changed).
    mutating func next(now: StageClock.Instant) -> (
        block: (table: TableName, block: Block)?, deadline: StageClock.Instant?
    ) {
        var deadline: StageClock.Instant?
        for (name, table) in tables where !table.waiting.isEmpty && table.out.count < table.window {
            if let due = table.due, due > now {
                deadline = min(due, deadline ?? due)
                continue
            }
            let block = tables[name]!.waiting.removeFirst()
            tables[name]!.out[block.id] = block
            tablesOut[block.id] = name
            return ((name, block), nil)
        }
        return (nil, deadline)
    }
}
