import ClickHouseNative
import Logging
import Pipeline

/// Ships blocks to ClickHouse over the native protocol: one INSERT for each block, several at once.
///
/// While the server is away, or has too much to do, blocks are held and tried again, for ever; the stream in front fills
/// up and everybody before it waits. What the server refuses for good is handed to `BlockHandlers.refused`.
///
/// An INSERT whose answer was lost is sent again, since the table may not have the rows. With the block's token the server
/// takes them once; docs/specs/delivery.md says where it does not.
public actor ClickHouseSink: Sink {
    public nonisolated let name = "ship"
    private let shared: ShippingContext

    /// - Parameters:
    ///   - catalog: is asked again when a table's columns are not what a block has.
    ///   - pressure: is told of tables with too many parts.
    ///   - reading: settings by which the server reads the JSON columns of a table, as they are now.
    ///   - random: 0 up to 1, for the jitter of waits.
    public init(
        input: BoundedStream<EncodedBlock>, servers: ClickHouseServers, catalog: ClickHouseCatalog,
        telemetry: Telemetry, logger: Logger, handlers: BlockHandlers, pressure: SinkPressure = SinkPressure(),
        reading: @escaping @Sendable (TableName) -> [String: String] = { _ in [:] }, clock: StageClock = .continuous,
        random: @escaping @Sendable () -> Double = { Double.random(in: 0..<1) }
    ) {
        shared = ShippingContext(
            input: input, servers: servers, catalog: catalog, telemetry: telemetry, logger: logger, handlers: handlers,
            pressure: pressure, reading: reading, clock: clock, random: random,
            crew: ShipperCrew(servers.settings.connections))
    }

    public nonisolated var rowsHeld: Int { shared.rowsHeld.current }

    public func encoding(with compression: Compression) -> BlockEncoding {
        BlockEncoding(revision: shared.servers.revision, compression: compression)
    }

    public func run() async throws {
        let shared = shared
        let watching = Task { await ServerWatch(servers: shared.servers, clock: shared.clock).run() }
        do {
            try await ship(shared)
        } catch {
            await end(watching)
            let rows = shared.rowsHeld.current
            if rows > 0 { shared.logger.error("rows were not shipped", metadata: ["rows": "\(rows)"]) }
            throw error
        }
        await end(watching)
    }

    private func ship(_ shared: ShippingContext) async throws {
        try await withThrowingTaskGroup(of: ShipperCrew.Reason.self) { group in
            group.addTask { await shared.crew.waitForOrders() }
            // The order to begin with is the first one.
            while let reason = try await group.next() {
                switch reason {
                case .ordered(let more):
                    for _ in 0..<more { group.addTask { try await Shipper(shared).run() } }
                    group.addTask { await shared.crew.waitForOrders() }
                // The others come to the end of it as well.
                case .inputEnded: shared.crew.dismiss()
                case .surplus, .dismissed: break
                }
            }
        }
    }

    /// See `ClickHouseServers.prepare(_:)`.
    public nonisolated func prepare(_ settings: ClickHouseSettings) throws -> ClickHouseServers.Change {
        try shared.servers.prepare(settings)
    }

    /// Takes over another configuration; see `ClickHouseServers.apply(_:)`. More blocks may be in flight at once, or fewer once those
    /// that are too many have landed.
    public nonisolated func apply(_ change: ClickHouseServers.Change) async {
        await shared.servers.apply(change)
        shared.crew.order(shared.servers.settings.connections)
    }

    private func end(_ watching: Task<Void, Never>) async {
        watching.cancel()
        await watching.value
        await shared.servers.close()
    }
}

/// What the shippers of a sink have in common.
struct ShippingContext: Sendable {
    let input: BoundedStream<EncodedBlock>
    let servers: ClickHouseServers
    let catalog: ClickHouseCatalog
    let telemetry: Telemetry
    let logger: Logger
    let handlers: BlockHandlers
    let pressure: SinkPressure
    let reading: @Sendable (TableName) -> [String: String]
    let clock: StageClock
    let random: @Sendable () -> Double
    let crew: ShipperCrew
    /// Taken from the input and not settled.
    let rowsHeld = Gauge()
    let traffic = TableTraffic()

    func backoff() -> Backoff {
        let settings = servers.settings
        return Backoff(min: settings.retryDelayMin, max: settings.retryDelayMax, random: random)
    }
}
