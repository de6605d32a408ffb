import ClickHouseNative
import TestSupport

@testable import Pipeline

/// Producers, the spool, what batches and ships, and a server, all as plain values: one seed is one life of a daemon with its crashes.
/// After every step the delivery contract is checked, as far as it can be seen then; at the end, when all is quiet, as a whole.
struct DeliverySimulation {
    private let disk: SimulatedDisk
    private var random: SeededRandom
    private let hasCapacity: Bool
    private var settings = SpoolSettings()
    private var registry = ProducerRegistry(wallClock: { 0 })
    private var core: SpoolCore
    private var clients: [Client]
    private var ears: [Ear?]
    private var server = Server()
    private var deadLetter: Set<Row> = []
    /// Tokens of blocks that the server refuses for good.
    private var refused: Set<String> = []
    private var sessions: UInt64 = 0
    private(set) var crashes = 0
    private(set) var steps = 0

    // What a daemon holds in memory.
    private var intakes: [(intake: Intake, rows: [[Row]])] = []
    private var controls: [SpoolEntry] = []
    private var window: [OpenPart] = []
    private var open: [OpenPart] = []
    private var blocks: [Block] = []
    private var backlog: SpoolLocation?

    /// - Parameter capacity: of the disk, in bytes; nil: it is never full.
    init(seed: UInt64, capacity: Int? = nil) throws {
        disk = SimulatedDisk(seed: seed)
        disk.setCapacity(capacity)
        random = SeededRandom(seed: seed)
        hasCapacity = capacity != nil
        // Seals are large here beside rows.
        settings.reserveBytes = hasCapacity ? 4_000 : 0
        settings.freeBytesMin = hasCapacity ? 0 : settings.freeBytesMin
        settings.segmentBytes = 600
        settings.compression = .none
        settings.bytesMax = random.one(in: 4) ? 12_000 : 1 << 30
        let count = random.int(1...3)
        clients = (0..<count).map { Client(name: "p\($0)") }
        ears = Array(repeating: nil, count: count)
        core = try SpoolCore(disk: disk, settings: settings, registry: registry, wallClock: { 0 }, random: { 7 })
        try start()
    }

    // MARK: One life

    mutating func run(steps count: Int) throws {
        for _ in 0..<count {
            steps += 1
            try step()
            try check()
        }
        try comeToRest()
        try checkAll()
    }

    private mutating func step() throws {
        switch random.int(0...19) {
        case 0...4: try send()
        case 5...8: try commit()
        case 9, 10: try feed()
        case 11, 12: try seal()
        case 13...15: try insert()
        case 16: try split()
        case 17: arm()
        case 18: reconnect()
        default: if random.one(in: 3) { try crash() }
        }
        if disk.hasCrashed { try crash() }
    }

    /// Makes something go wrong soon.
    private mutating func arm() {
        var faults = SimulatedDisk.Faults()
        switch random.int(0...5) {
        case 0: faults.write = 300
        case 1: faults.sync = 300
        case 2: faults.create = 500
        case 3:
            faults.write = 200
            faults.truncate = 500
        case 4: faults.callsUntilCrash = random.int(0...12)
        default: break
        }
        disk.set(faults)
    }

    private mutating func crash() throws {
        crashes += 1
        disk.restart(powerLoss: random.one(in: 2))
        intakes = []
        controls = []
        window = []
        open = []
        blocks = []
        for place in clients.indices {
            clients[place].session = nil
            clients[place].producer = nil
        }
        try start()
    }

    private mutating func start() throws {
        registry = ProducerRegistry(wallClock: { 0 })
        core = try SpoolCore(disk: disk, settings: settings, registry: registry, wallClock: { 0 }, random: { 7 })
        guard core.restored.damage.places + core.restored.damage.segments == 0 || crashes > 0 else {
            throw Violation(description: "damage in a new spool")
        }
        backlog = core.restored.backlog
        for block in core.restored.blocks {
            var rows: [Row] = []
            for part in block.parts {
                guard let location = core.restored.locations[part.lsn],
                    case .rows(let stored) = try core.read(from: location),
                    stored.lsn == part.lsn
                else { throw Violation(description: "a part of block \(block.id) is not where it should be") }
                let all = Self.rows(try stored.batches(parts: [part.part], now: .now)[0].block)
                rows += all[part.firstRow..<part.firstRow + part.rows]
            }
            // Nobody knows what became of it.
            blocks.append(
                Block(
                    identity: BlockIdentity(id: block.id, token: core.token(of: block.id)), rows: rows, isUnknown: true)
            )
        }
        for leftover in core.restored.leftovers {
            guard case .rows(let stored) = try core.read(from: leftover.location), stored.lsn == leftover.lsn else {
                throw Violation(description: "record \(leftover.lsn) is not where it should be")
            }
            for batch in try stored.batches(parts: leftover.parts, now: .now) {
                open.append(OpenPart(table: batch.table, place: batch.place!, rows: Self.rows(batch.block)))
            }
        }
    }

    // MARK: Producers

    private mutating func reconnect() {
        let place = random.int(0...clients.count - 1)
        connect(place)
    }

    private mutating func connect(_ place: Int) {
        sessions += 1
        let ear = Ear()
        ears[place] = ear
        clients[place].session = sessions
        clients[place].sent = 0
        let attached = registry.attach(name: clients[place].name, epoch: 1, session: sessions) {}
        clients[place].producer = try? attached.get()
        hear(place)
    }

    private mutating func hear(_ place: Int) {
        guard let ear = ears[place], let session = clients[place].session else { return }
        if let news = clients[place].producer?.takeNews(session: session) { ear.hear(news) }
        let heard = ear.heard.withLock { $0 }
        clients[place].acked = max(clients[place].acked, heard.durable, heard.resume ?? 0)
        clients[place].committed = max(clients[place].committed, heard.committed)
    }

    /// Some rows of a client become one intake, perhaps with some that were sent before.
    private mutating func send() throws {
        let place = random.int(0...clients.count - 1)
        if clients[place].session == nil { connect(place) }
        hear(place)
        guard let producer = clients[place].producer, let session = clients[place].session,
            let resume = ears[place]?.heard.withLock({ $0.resume })
        else { return }
        // A new session goes on behind what is durable, and sends again what it does not know to be.
        clients[place].sent = max(clients[place].sent, resume)
        var first = clients[place].sent + 1
        if random.one(in: 5), first > resume + 1 { first = UInt64.random(in: resume + 1...first, using: &random) }
        var last = first + UInt64(random.int(0...6))
        var at = first
        while at <= last {
            let (taking, upTo) = producer.take(RowRange(first: at, last: last), session: session)
            guard case .from(let from) = taking else {
                if case .gap = taking { clients[place].session = nil }
                if case .notOwner = taking { clients[place].session = nil }
                break
            }
            try take(producer, place, RowRange(first: from, last: upTo))
            at = upTo + 1
            if upTo == last { break }
        }
        last = max(last, clients[place].sent)
        clients[place].sent = last
    }

    private mutating func take(_ producer: Producer, _ client: Int, _ range: RowRange) throws {
        var tables: [[Row]] = Self.tables.map { _ in [] }
        for number in range.first...range.last where number % 7 != 0 {
            // Every seventh row is rejected: it has a number, and is in no batch.
            tables[random.int(0...tables.count - 1)].append(Row(producer: client, number: number))
        }
        var batches: [RowBatch] = []
        var rows: [[Row]] = []
        for (table, taken) in zip(Self.tables, tables) where !taken.isEmpty {
            batches.append(RowBatch(table: table, block: Self.block(taken), firstReceived: .now))
            rows.append(taken)
        }
        let intake = try Intake(
            batches: batches, numbered: [.init(producer: producer, range: producer.covered(by: range))], received: 0,
            spool: SpoolSettings.Compression.none)
        // Parsers work side by side: what came first may be done last.
        intakes.insert((intake, rows), at: random.one(in: 4) && !intakes.isEmpty ? intakes.count - 1 : intakes.count)
    }

    // MARK: The daemon

    private mutating func commit() throws {
        let taken = random.one(in: 3) ? Array(intakes.prefix(1)) : intakes
        let bytes = taken.reduce(0) { $0 + $1.intake.bytes }
        let hasRoom = core.hasRoom(for: bytes)
        let rows = hasRoom ? taken : []
        let entries = rows.compactMap(\.intake.entry) + controls
        guard !entries.isEmpty else { return }
        let result: SpoolCore.Commit
        do {
            result = try core.commit(entries)
        } catch {
            // As the stage does it: what makes room goes first. (Without a full disk the lives that went wrong stay as they were.)
            if hasCapacity { try settleNow() }
            return
        }
        intakes.removeFirst(rows.count)
        controls = []
        for span in result.settled { registry.find(span.identity)?.becameSettled(span.range) }
        for (one, place) in zip(rows, result.places) {
            if !one.intake.batches.isEmpty {
                if backlog == nil, random.int(0...3) > 0 {
                    for (part, batch) in one.intake.batches.enumerated() {
                        window.append(
                            OpenPart(
                                table: batch.table, place: SpoolPlace(lsn: place.lsn, part: part), rows: one.rows[part])
                        )
                    }
                } else {
                    if backlog == nil { backlog = place.location }
                    core.forget(lsn: place.lsn)
                }
            }
            for numbered in one.intake.numbered {
                numbered.producer.becameDurable(numbered.range)
                if one.intake.batches.isEmpty { numbered.producer.becameSettled(numbered.range) }
            }
        }
        for place in clients.indices { hear(place) }
    }

    private mutating func feed() throws {
        if !window.isEmpty {
            // What is handed on is handed on in order.
            let count = random.int(1...window.count)
            open += window.prefix(count)
            window.removeFirst(count)
        } else if let from = backlog {
            switch try? core.read(from: from) {
            case .rows(let stored):
                backlog = stored.next
                guard !stored.rows.isEmpty else { return }
                core.remember(stored)
                for batch in try stored.batches(now: .now) {
                    open.append(OpenPart(table: batch.table, place: batch.place!, rows: Self.rows(batch.block)))
                }
            case .end: backlog = nil
            case .damage(let next):
                // Only what nobody was told of may be damaged; the end will tell.
                guard core.restored.damage.places > 0 else { throw Violation(description: "damage while running") }
                backlog = next
            case nil: break
            }
        }
    }

    private mutating func seal() throws {
        guard !open.isEmpty else { return }
        let table = open[random.int(0...open.count - 1)].table
        let mine = open.indices.filter { open[$0].table == table }.prefix(random.int(1...4))
        let parts = mine.map { open[$0] }
        let id = core.allocateBlocks(1)[0]
        let sealed = SealedParts(
            id: id, table: table,
            parts: parts.map { SpoolPart(lsn: $0.place.lsn, part: $0.place.part, firstRow: 0, rows: $0.rows.count) })
        do {
            _ = try core.commit([.seal([sealed])])
        } catch {
            return
        }
        for place in mine.reversed() { open.remove(at: place) }
        blocks.append(
            Block(identity: BlockIdentity(id: id, token: core.token(of: id)), rows: parts.flatMap(\.rows)))
    }

    private mutating func insert() throws {
        guard !blocks.isEmpty else { return }
        let place = random.int(0...blocks.count - 1)
        let block = blocks[place]
        if refused.contains(block.identity.token!) { return try refuse(place) }
        switch random.int(0...9) {
        case 0: break  // Never got there.
        case 1:
            // Applied, and the answer lost.
            try server.insert(block.identity.token!, block.rows)
            blocks[place].isUnknown = true
        case 2:
            // Perhaps.
            if random.one(in: 2) { try server.insert(block.identity.token!, block.rows) }
            blocks[place].isUnknown = true
        case 3 where !block.isUnknown: try refuse(place)
        default:
            try server.insert(block.identity.token!, block.rows)
            blocks.remove(at: place)
            controls.append(.settled(id: block.identity.id, .committed))
            if random.one(in: 2) { try settleNow() }
        }
    }

    private mutating func refuse(_ place: Int) throws {
        let block = blocks.remove(at: place)
        refused.insert(block.identity.token!)
        // Should the daemon die here, the rows are kept a second time, under the same names.
        deadLetter.formUnion(block.rows)
        controls.append(.settled(id: block.identity.id, .deadLettered))
        if random.one(in: 2) { try settleNow() }
    }

    private mutating func settleNow() throws {
        guard let result = try? core.commit(controls) else { return }
        controls = []
        for span in result.settled { registry.find(span.identity)?.becameSettled(span.range) }
    }

    private mutating func split() throws {
        guard let place = blocks.firstIndex(where: { $0.rows.count > 1 && !$0.isUnknown }) else { return }
        let block = blocks[place]
        guard let parts = core.parts(of: block.identity.id) else { throw Violation(description: "no parts of a block") }
        let cut = random.int(1...block.rows.count - 1)
        // Not always halves: rows of one partition lie anywhere.
        let even = block.rows.indices.filter { $0 % 2 == 0 }.map { $0..<$0 + 1 }
        let odd = block.rows.indices.filter { $0 % 2 == 1 }.map { $0..<$0 + 1 }
        let pieces = random.one(in: 2) ? [[0..<cut], [cut..<block.rows.count]] : [even, odd]
        let ids = core.allocateBlocks(2)
        let children = zip(ids, pieces).map { SealedParts(id: $0, table: parts.table, parts: parts.selecting($1)) }
        do {
            _ = try core.commit([.split(parent: block.identity.id, children)])
        } catch {
            return
        }
        blocks.remove(at: place)
        for (id, piece) in zip(ids, pieces) {
            blocks.append(
                Block(
                    identity: BlockIdentity(id: id, token: core.token(of: id)),
                    rows: piece.flatMap { block.rows[$0] }))
        }
    }

    // MARK: The contract

    private func check() throws {
        if let twice = server.rows.first(where: { $0.value > 1 }) {
            throw Violation(description: "\(twice.key) landed \(twice.value) times")
        }
        let totals = core.totals
        guard totals.accepted == totals.settled + UInt64(core.unsettledRows) else {
            throw Violation(description: "\(totals) and \(core.unsettledRows) in flight, \(core.restored.damage)")
        }
        for (place, client) in clients.enumerated() where client.committed > 0 {
            // Committed is said only of what is somewhere.
            for number in 1...client.committed where number % 7 != 0 {
                let row = Row(producer: place, number: number)
                guard server.rows[row] != nil || deadLetter.contains(row) else {
                    throw Violation(description: "\(row) was said to be committed")
                }
            }
        }
    }

    /// No more faults; everything goes its way.
    private mutating func comeToRest() throws {
        disk.set(.init())
        if disk.hasCrashed || random.one(in: 2) { try crash() }
        settings.bytesMax = 1 << 30
        try readAgain()
        for _ in 0..<10_000 {
            if intakes.isEmpty, controls.isEmpty, window.isEmpty, open.isEmpty, blocks.isEmpty, backlog == nil {
                return
            }
            try commit()
            try feed()
            try seal()
            while let block = blocks.last {
                if refused.contains(block.identity.token!) {
                    try refuse(blocks.count - 1)
                    continue
                }
                blocks.removeLast()
                try server.insert(block.identity.token!, block.rows)
                controls.append(.settled(id: block.identity.id, .committed))
            }
            try check()
        }
        throw Violation(
            description: "does not come to rest: \(disk.usage), reserve \(core.reserved), \(controls.count) controls, "
                + "\(intakes.count) intakes, \(open.count) parts, \(blocks.count) blocks, "
                + "\(core.unsettledRows) rows, backlog at \(backlog.map { "\($0)" } ?? "no place")")
    }

    /// Blocks that the sink sets aside come back from the disk as they were frozen.
    private func readAgain() throws {
        for block in blocks {
            guard let sealed = core.parts(of: block.identity.id) else {
                throw Violation(description: "no parts of block \(block.identity.id)")
            }
            var rows: [Row] = []
            for part in sealed.parts {
                guard let location = core.location(of: part.lsn),
                    case .rows(let stored) = try core.read(from: location),
                    stored.lsn == part.lsn
                else { throw Violation(description: "a part of block \(sealed.id) cannot be read again") }
                let all = Self.rows(try stored.batches(parts: [part.part], now: .now)[0].block)
                rows += all[part.firstRow..<part.firstRow + part.rows]
            }
            guard rows == block.rows else { throw Violation(description: "block \(sealed.id) has other rows on disk") }
        }
    }

    private func checkAll() throws {
        for (place, client) in clients.enumerated() where client.acked > 0 {
            for number in 1...client.acked where number % 7 != 0 {
                let row = Row(producer: place, number: number)
                let found = (server.rows[row] ?? 0) + (deadLetter.contains(row) ? 1 : 0)
                guard found == 1 else { throw Violation(description: "acked \(row) is there \(found) times") }
            }
        }
        guard core.unsettledRows == 0, core.recordsHeld == 0 else {
            throw Violation(description: "\(core.unsettledRows) rows in flight at rest")
        }
        guard core.segments <= 1 else { throw Violation(description: "\(core.segments) segments at rest") }
    }
}
