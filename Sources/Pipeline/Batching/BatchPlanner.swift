import ClickHouseNative

/// Decides when open blocks are sealed; without clock, tasks or streams.
///
/// - A block never exceeds its strategy's `rowsMax` and `bytesMax`: what would make it larger seals it first. A row batch
///   that is larger by itself is not split; it becomes a block of its own. (Validation makes none of more than
///   `rowBatchRowsMax` rows.)
/// - Rows that leave out different DEFAULT columns have different layouts, and come mixed. Each table therefore has
///   up to `layoutsMax` blocks open; one more seals the one that was used longest ago.
/// - Ages count from the arrival of a block's oldest row.
/// - While the sink has too many blocks of a table, rows and ages are multiplied, up to `growthMax` times; bytes are
///   not, as they bound the memory.
struct BatchPlanner {
    /// Open blocks of one table.
    static let layoutsMax = 4
    /// Whatever the strategy: a block stays one INSERT block of the server (its `max_insert_block_size`).
    static let blockRowsMax = 1_048_576
    /// From so many on, several blocks are sealed when there are too many bytes.
    static let manyTables = 64
    /// Tables whose rate is remembered while they have no rows.
    static let idleTablesMax = 1024

    private var settings: BatchSettings
    private var tables: [TableName: OpenTable] = [:]
    private var lastID: UInt64 = 0
    private var openTables = 0
    private(set) var openRows = 0
    private(set) var openBytes = 0
    private var deadlines = Deadlines()
    /// When `deadlineReached(now:)` should be called.
    var nextDeadline: StageClock.Instant? { deadlines.first }

    init(settings: BatchSettings) { self.settings = settings }

    // MARK: Events

    /// - Parameter pressure: how many times larger blocks of this table should be (`SinkPressure`).
    /// - Returns: What is sealed by it, in the order in which it should go on.
    mutating func rowBatchReceived(
        _ batch: RowBatch, now: StageClock.Instant, pressure: Int = 1
    ) -> [SealedBlock] {
        guard batch.rows > 0 else { return [] }
        let known = tables[batch.table]
        let table = known ?? OpenTable(batch.table, strategy: strategy(of: batch.table))
        if table.strategy.kind == .immediate {
            // Those from before it was go on first.
            let before = known.map { sealAll(of: $0, .immediate) } ?? []
            return before + [seal(batch)]
        }
        table.growth = min(max(pressure, 1), settings.growthMax)
        let bytes = batch.bytes
        if table.strategy.kind == .adaptive { table.rate.arrived(rows: batch.rows, bytes: bytes, at: now) }
        if table.blocks.isEmpty { openTables += 1 }
        if known == nil { tables[batch.table] = table }

        var sealed: [SealedBlock] = []
        add(batch, bytes: bytes, to: table, sealed: &sealed)
        noteChange(of: table)
        // Others may have a smaller share of the memory now that there is one table more; they see to it when their
        // next row batch comes. The sum is watched at once.
        if openBytes > settings.memoryMax { sealLargest(&sealed) }
        return sealed
    }

    /// - Returns: The blocks that are due: higher priorities first, then the oldest.
    mutating func deadlineReached(now: StageClock.Instant) -> [SealedBlock] {
        sealAll(.age, of: deadlines.due(at: now)) { table, block in
            table.deadline(of: block).map { $0 <= now } ?? false
        }
    }

    /// From now on other settings hold, for what is open as well. What that makes due is sealed when it is looked at next.
    mutating func reconfigured(_ settings: BatchSettings) {
        self.settings = settings
        for table in tables.values {
            table.strategy = strategy(of: table.name)
            deadlines.changed(table, deadline: table.deadline)
        }
    }

    /// The input has ended.
    mutating func drained() -> [SealedBlock] { sealAll(.drain, of: Array(tables.values)) { _, _ in true } }

    /// Seals what is open of a table, or of all.
    mutating func flushRequested(_ table: TableName?) -> [SealedBlock] {
        guard let table else { return sealAll(.flush, of: Array(tables.values)) { _, _ in true } }
        return tables[table].map { sealAll(of: $0, .flush) } ?? []
    }

    // MARK: Filling

    private mutating func add(
        _ batch: RowBatch, bytes: Int, to table: OpenTable, sealed: inout [SealedBlock]
    ) {
        let layout = batch.layout
        if let place = table.blocks.firstIndex(where: { $0.layout == layout }) {
            let (rows, all) = (table.blocks[place].rows + batch.rows, table.blocks[place].bytes + bytes)
            if let reason = reasonToSeal(rows, all, of: table, isBeyond: { $0 > $1 }) {
                sealed.append(seal(table.blocks.remove(at: place), batch.table, reason))
                table.blocks.append(OpenBlock(batch, bytes: bytes))
            } else {
                table.blocks[place].append(batch, bytes: bytes)
                // The one that was used last is at the end.
                if place < table.blocks.count - 1 { table.blocks.append(table.blocks.remove(at: place)) }
            }
        } else {
            if table.blocks.count >= Self.layoutsMax {
                sealed.append(seal(table.blocks.removeFirst(), batch.table, .layout))
            }
            table.blocks.append(OpenBlock(batch, bytes: bytes))
        }
        openRows += batch.rows
        openBytes += bytes
        let last = table.blocks.count - 1
        if let reason = reasonToSeal(
            table.blocks[last].rows, table.blocks[last].bytes, of: table, isBeyond: { $0 >= $1 })
        {
            sealed.append(seal(table.blocks.removeLast(), batch.table, reason))
        }
    }

    /// Why a block of so many rows and bytes goes no further.
    ///
    /// - Parameter isBeyond: compares with a limit: a block that is at one is full, one over it too large.
    private func reasonToSeal(
        _ rows: Int, _ bytes: Int, of table: OpenTable, isBeyond: (Int, Int) -> Bool
    ) -> SealedBlock.Reason? {
        let limits = limits(of: table)
        if isBeyond(rows, limits.rows) { return .rows }
        if isBeyond(bytes, limits.bytes) { return table.strategy.kind == .memory ? .memory : .bytes }
        return nil
    }

    private func limits(of table: OpenTable) -> (rows: Int, bytes: Int) {
        let strategy = table.strategy
        switch strategy.kind {
        case .immediate, .time: return (Self.blockRowsMax, .max)
        case .size, .hybrid, .adaptive:
            return (min(strategy.rowsMax * table.growth, Self.blockRowsMax), strategy.bytesMax)
        // An equal share for each table that has rows.
        case .memory: return (Self.blockRowsMax, max(1, settings.memoryMax / max(1, openTables)))
        }
    }

    private func strategy(of table: TableName) -> BatchStrategy {
        settings.tables[table.description] ?? settings.tables[table.table] ?? settings.defaults
    }

    // MARK: Sealing

    /// A table has other blocks than before: it is forgotten if there is nothing to remember of it.
    private mutating func noteChange(of table: OpenTable) {
        deadlines.changed(table, deadline: table.deadline)
        guard table.blocks.isEmpty else { return }
        openTables -= 1
        guard table.strategy.kind == .adaptive, tables.count <= Self.idleTablesMax + openTables else {
            tables[table.name] = nil
            deadlines.removed(table)
            return
        }
    }

    private mutating func seal(_ batch: RowBatch) -> SealedBlock {
        lastID += 1
        return SealedBlock(identity: BlockIdentity(id: lastID), table: batch.table, parts: [batch], reason: .immediate)
    }

    private mutating func seal(_ block: OpenBlock, _ table: TableName, _ reason: SealedBlock.Reason) -> SealedBlock {
        openRows -= block.rows
        openBytes -= block.bytes
        lastID += 1
        return SealedBlock(identity: BlockIdentity(id: lastID), table: table, parts: block.parts, reason: reason)
    }

    private mutating func sealAll(of table: OpenTable, _ reason: SealedBlock.Reason) -> [SealedBlock] {
        guard !table.blocks.isEmpty else { return [] }
        let sealed = table.blocks.map { seal($0, table.name, reason) }
        table.blocks = []
        noteChange(of: table)
        return sealed
    }

    private mutating func sealAll(
        _ reason: SealedBlock.Reason, of tables: [OpenTable], where isDue: (OpenTable, OpenBlock) -> Bool
    ) -> [SealedBlock] {
        var due: [(table: OpenTable, block: OpenBlock)] = []
        for table in tables where table.blocks.contains(where: { isDue(table, $0) }) {
            due += table.blocks.filter { isDue(table, $0) }.map { (table, $0) }
            table.blocks.removeAll { isDue(table, $0) }
            noteChange(of: table)
        }
        due.sort {
            ($1.table.strategy.priority, $0.block.firstReceived, $0.table.name.description)
                < ($0.table.strategy.priority, $1.block.firstReceived, $1.table.name.description)
        }
        return due.map { seal($0.block, $0.table.name, reason) }
    }

    /// Seals the largest blocks, until there is room again. To look for them costs something with many tables, so that there some are sealed
    /// at once.
    private mutating func sealLargest(_ sealed: inout [SealedBlock]) {
        let bytesMax =
            openTables < Self.manyTables ? settings.memoryMax : settings.memoryMax - settings.memoryMax / 8
        var blocks: [(table: OpenTable, bytes: Int)] = []
        for table in tables.values {
            for place in table.blocks.indices { blocks.append((table, table.blocks[place].bytes)) }
        }
        blocks.sort { $0.bytes > $1.bytes }
        for (table, bytes) in blocks {
            guard openBytes > bytesMax else { return }
            // Of those that are as large it may be another, which is as good.
            guard let place = table.blocks.firstIndex(where: { $0.bytes == bytes }) else { continue }
            sealed.append(seal(table.blocks.remove(at: place), table.name, .memory))
            noteChange(of: table)
        }
    }
}
