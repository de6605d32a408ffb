import ClickHouseNative
import Foundation
import NIOCore
import NIOPosix
import Pipeline
import TestSupport
import Testing

@testable import Sinks

/// What the log says when there is no way to a server, to somebody who reads it at night.
@Suite(.endsEvenIfItHangs) struct NetworkFaultTests {
    private func fault(_ name: String, _ port: Int, security: TransportSecurity? = nil) async -> String {
        do {
            let connection = try await NativeConnection.connect(
                to: .init(name: name, port: port),
                ConnectionConfiguration(
                    credentials: Credentials(user: "u", password: "p-secret", database: "d"),
                    identity: ClientIdentity(hostName: "test")),
                security: security, timeout: .seconds(10))
            await connection.close()
            return "connected"
        } catch { return error.forLog }
    }

    /// A listener that hangs up on everybody.
    private func rudeServer() async throws -> (any Channel, port: Int) {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { $0.close() }
            .bind(host: "127.0.0.1", port: 0).get()
        return (server, server.localAddress?.port ?? 0)
    }

    @Test func aServerThatIsDownRefuses() async throws {
        let (server, port) = try await rudeServer()
        try await server.close()
        #expect(await fault("127.0.0.1", port) == "the connection was closed: Connection refused (127.0.0.1)")
    }

    @Test func aNameWithoutAnAddressIsNamed() async {
        #expect(
            await fault("no-such-host.invalid", 9000)
                == "the connection was closed: there is no address for no-such-host.invalid")
    }

    @Test func aPortWithoutTLSIsSaidToHaveNone() async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Greets())
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        var settings = ClickHouseSettings()
        settings.secure = true
        let security = try TransportSecurity(settings)
        let fault = await fault("127.0.0.1", server.localAddress?.port ?? 0, security: security)
        #expect(fault.contains("that port does not speak TLS"), "\(fault)")
        try await server.close()
    }

    @Test func whatAHostSaysOfItselfIsNotInIt() {
        let error = ConnectionError(.timedOut, cause: ChannelError.connectTimeout(.seconds(1)))
        #expect(error.forLog == "no answer in time: nothing answered at that address and port")
        let reset = ConnectionError(.connectionClosed, cause: IOError(errnoCode: ECONNRESET, reason: "read(x)"))
        #expect(reset.forLog == "the connection was closed: Connection reset by peer")
    }

    /// Answers a TLS greeting with something else.
    private final class Greets: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: "HTTP/1.1 400 Bad Request\r\n\r\n")), promise: nil)
        }
    }
}
