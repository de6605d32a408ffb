import ClickHouseNative
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization
import TestSupport

/// A server on loopback that does what a test tells it, connection by connection. Speaks the oldest revision, unless it
/// is one of today.
final class FakeServer: Sendable {
    /// What is done with requests, in their order, whichever connection they come by; when there is no more, further
    /// INSERTs are taken.
    enum Behaviour: Sendable, Equatable {
        case takeInsert
        /// Instead of the header.
        case refuseInsert(Int32)
        /// After the data.
        case refuseData(Int32, String = "no")
        /// When the first data comes.
        case cutInData
        /// After all data, without an answer.
        case cutBeforeAnswer
        /// Takes everything and says nothing.
        case silent
        /// Instead of the hello.
        case refuseLogin(Int32)
    }

    /// What the server thinks of rows, all of them numbers: nil takes them.
    typealias Judge = @Sendable ([UInt64]) -> (code: Int32, message: String)?

    let port: Int
    /// Statements, as they came.
    let statements = Recorder<String>()
    /// Whole query packets, settings included, as far as they are text.
    let packets = Recorder<String>()
    /// Rows of the blocks that were taken.
    let landed = Recorder<[UInt64]>()
    let connections = Recorder<Int>()
    private let channel: any Channel
    private let script: Mutex<[Behaviour]>
    fileprivate let judge: Judge?
    /// Of ClickHouse 24.8, as far as it says; else of 18.16.
    fileprivate let isModern: Bool
    fileprivate let sessions = Mutex<[any Channel]>([])

    /// - Parameters:
    ///   - columns: of the header that INSERTs get.
    ///   - port: 0: a free one.
    static func start(
        _ script: [Behaviour] = [], columns: [ColumnDefinition] = [ColumnDefinition(name: "n", type: .uint64)],
        port: Int = 0, security: NIOSSLContext? = nil, isModern: Bool = false, judge: Judge? = nil
    ) async throws -> FakeServer {
        let box = LateServer()
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let security {
                        try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: security))
                    }
                    try channel.pipeline.syncOperations.addHandler(FakeSession(box, columns: columns))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        let server = FakeServer(channel, script, isModern: isModern, judge: judge)
        box.server.withLock { $0 = server }
        return server
    }

    private init(_ channel: any Channel, _ script: [Behaviour], isModern: Bool, judge: Judge?) {
        self.channel = channel
        self.isModern = isModern
        self.judge = judge
        self.script = Mutex(script)
        port = channel.localAddress?.port ?? 0
    }

    /// Takes no further connections; those that there are go on.
    func stop() async { try? await channel.close() }

    /// Ends all connections, too.
    func crash() async {
        await stop()
        for session in sessions.withLock({ $0 }) { session.close(promise: nil) }
    }

    fileprivate func next() -> Behaviour {
        script.withLock { $0.isEmpty ? .takeInsert : $0.removeFirst() }
    }

    fileprivate func peekLogin() -> Int32? {
        script.withLock { script in
            guard case .refuseLogin(let code)? = script.first else { return nil }
            script.removeFirst()
            return code
        }
    }
}

private final class LateServer: Sendable {
    let server = Mutex<FakeServer?>(nil)
}

/// One connection. Requests come whole, for they are small and written at once; data ends with the known last packet.
private final class FakeSession: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum Phase { case hello, query, data(FakeServer.Behaviour) }

    private static let encoding = BlockEncoding(revision: .oldest, compression: .lz4)
    private let late: LateServer
    private let columns: [ColumnDefinition]
    private var phase = Phase.hello
    private var received = ByteBuffer()

    init(_ late: LateServer, columns: [ColumnDefinition]) {
        self.late = late
        self.columns = columns
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        guard let server = late.server.withLock({ $0 }) else { return context.close(promise: nil) }
        switch phase {
        case .hello:
            received.clear()
            server.connections.record(1)
            server.sessions.withLock { $0.append(context.channel) }
            if let code = server.peekLogin() {
                send(exception(code), context)
                return context.close(promise: nil)
            }
            phase = .query
            send(server.isModern ? modernHello : hello, context)
        case .query: queryReceived(server, context)
        case .data(let behaviour): dataReceived(behaviour, server, context)
        }
    }

    private func queryReceived(_ server: FakeServer, _ context: ChannelHandlerContext) {
        if received.readableBytesView.first == 4 {
            received.clear()
            return send([4], context)
        }
        let text = String(decoding: received.readableBytesView, as: UTF8.self)
        server.packets.record(text)
        server.statements.record(text.firstRange(of: "INSERT").map { String(text[$0.lowerBound...]) } ?? text)
        received.clear()
        let behaviour = server.next()
        switch behaviour {
        case .refuseInsert(let code): send(exception(code), context)
        case .silent: phase = .data(.silent)
        default:
            phase = .data(behaviour)
            send(header, context)
        }
    }

    private func dataReceived(
        _ behaviour: FakeServer.Behaviour, _ server: FakeServer, _ context: ChannelHandlerContext
    ) {
        if behaviour == .cutInData { return context.close(promise: nil) }
        guard endsWithEndOfData, behaviour != .silent else { return }
        let rows = rowsReceived
        received.clear()
        phase = .query
        switch behaviour {
        case .cutBeforeAnswer: context.close(promise: nil)
        case .refuseData(let code, let message):
            send(exception(code, message), context)
            context.close(promise: nil)
        default:
            if let (code, message) = server.judge?(rows) {
                send(exception(code, message), context)
                return context.close(promise: nil)
            }
            server.landed.record(rows)
            send([5], context)
        }
    }

    /// The first column of the block behind the packet's number and its empty name.
    private var rowsReceived: [UInt64] {
        var bytes = received
        bytes.moveReaderIndex(forwardBy: 2)
        var raw = ByteBuffer()
        while true {
            if let block = try? BlockReader.read(&raw, revision: .oldest), block.layout.columns.first?.type == .uint64 {
                return (0..<block.rows).map { block.nodes[0].data.load(UInt64.self, at: $0 * 8) }
            }
            guard var frame = try? FrameReader.readFrame(&bytes) else { return [] }
            raw.writeBuffer(&frame)
        }
    }

    // MARK: Packets

    private var endsWithEndOfData: Bool {
        guard let end = try? BlockEncoder.endOfData(as: Self.encoding) else { return false }
        return received.readableBytesView.suffix(end.readableBytes).elementsEqual(end.readableBytesView)
    }

    private var hello: [UInt8] {
        [0] + text("Fake") + [18, 16] + varUInt(Revision.oldest.rawValue) + text("UTC") + text("fake") + [1]
    }

    /// A revision with settings as texts, but without anything else that 18.16 has not.
    private var modernHello: [UInt8] {
        [0] + text("Fake") + [24, 8] + varUInt(54430) + text("UTC") + text("fake") + [1]
    }

    private var header: [UInt8] {
        let block = try? BlockEncoder.encode([Block(layout: BlockLayout(columns))], as: Self.encoding)
        return [1] + text("") + Array((block?.body ?? ByteBuffer()).readableBytesView)
    }

    private func exception(_ code: Int32, _ message: String = "no") -> [UInt8] {
        [2] + withUnsafeBytes(of: code.littleEndian) { Array($0) } + text("DB::Exception") + text(message) + text("")
            + [0]
    }

    private func text(_ text: String) -> [UInt8] { varUInt(UInt64(text.utf8.count)) + Array(text.utf8) }

    private func varUInt(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    private func send(_ bytes: [UInt8], _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)), promise: nil)
    }
}
