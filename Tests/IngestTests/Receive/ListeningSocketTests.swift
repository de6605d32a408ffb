import Foundation
import Pipeline
import TestSupport
import Testing

@testable import Ingest

@Suite(.endsEvenIfItHangs) struct ListeningSocketTests {
    private let directory: TemporaryDirectory
    private var settings = ReceiveSettings()

    init() throws {
        directory = try TemporaryDirectory()
        settings.socketPath = directory.file("s.sock")
    }

    private func code(_ body: () throws -> ListeningSocket) -> ReceiveError.Code? {
        do {
            close(try body().descriptor)
            return nil
        } catch {
            return (error as? ReceiveError)?.code
        }
    }

    private func mode() throws -> mode_t {
        var status = stat()
        #expect(lstat(settings.socketPath, &status) == 0)
        return status.st_mode & 0o7777
    }

    @Test(arguments: [0o600, 0o660, 0o666, 0o777])
    func theSocketHasTheModeThatWasAskedFor(mode: UInt16) throws {
        var settings = settings
        settings.socketMode = mode
        let socket = try ListeningSocket.bind(settings)
        defer { close(socket.descriptor) }
        #expect(try self.mode() == mode_t(mode))
        socket.removeFile()
        #expect(!FileManager.default.fileExists(atPath: settings.socketPath))
    }

    @Test func nobodyConnectsBeforeModeAndOwnerAreInForce() throws {
        let socket = try ListeningSocket.bind(settings)
        defer { close(socket.descriptor) }
        #expect(throws: UnixClient.Failure(call: "connect", code: ECONNREFUSED)) {
            try UnixClient(path: settings.socketPath)
        }
    }

    @Test func theOwnerIsSetByNumberOrName() throws {
        var settings = settings
        settings.socketOwner = String(getuid())
        settings.socketGroup = String(getgid())
        close(try ListeningSocket.bind(settings).descriptor)
        var status = stat()
        #expect(lstat(settings.socketPath, &status) == 0 && status.st_uid == getuid() && status.st_gid == getgid())
        settings.socketOwner = "nobody-has-this-name"
        #expect(code { try ListeningSocket.bind(settings) } == .unknownOwner)
        #expect(try ListeningSocket.userID("root") == 0)
        #expect(try ListeningSocket.groupID("root") == 0)
    }

    @Test func aStaleSocketIsReplaced() throws {
        close(try ListeningSocket.bind(settings).descriptor)
        #expect(FileManager.default.fileExists(atPath: settings.socketPath))
        #expect(code { try ListeningSocket.bind(settings) } == nil)
    }

    @Test func aLiveSocketIsRefusedAndGoesOn() async throws {
        let receiver = try await Receiver.run { receiver in
            do {
                let second = try Receiver { $0.socketPath = receiver.path }
                try await second.run()
                Issue.record("listens twice")
            } catch let error as ReceiveError {
                #expect(error.code == .inUse)
                #expect(error.description == "another process listens on \(receiver.path)")
            }
            try await receiver.deliver("{}\n")
        }
        #expect(receiver.allLines == ["{}"])
    }

    @Test func aFileInTheWayIsNeverRemoved() throws {
        try Data("precious".utf8).write(to: URL(fileURLWithPath: settings.socketPath))
        #expect(code { try ListeningSocket.bind(settings) } == .notASocket)
        #expect(try String(contentsOfFile: settings.socketPath, encoding: .utf8) == "precious")
    }

    @Test func aPathThatIsTooLongIsRefusedWithItsLimit() {
        var settings = settings
        settings.socketPath = "/" + String(repeating: "s", count: ListeningSocket.pathBytesMax)
        #expect(code { try ListeningSocket.bind(settings) } == .pathTooLong)
        settings.socketPath = ""
        #expect(code { try ListeningSocket.bind(settings) } == .system)
    }

    @Test func aSocketThatAnotherDaemonMadeMeanwhileIsLeftAlone() throws {
        let first = try ListeningSocket.bind(settings)
        close(first.descriptor)
        let second = try ListeningSocket.bind(settings)
        first.removeFile()
        // The inode may have been given out again; then the file is first's as far as anyone can tell.
        if first.file != second.file { #expect(FileManager.default.fileExists(atPath: settings.socketPath)) }
        close(second.descriptor)
    }

    // MARK: systemd

    @Test func aSocketOfSystemdIsTaken() throws {
        let socket = try ListeningSocket.bind(settings)
        defer { close(socket.descriptor) }
        let environment = ["LISTEN_PID": "77", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "sluice.socket"]
        func find(_ process: Int32) throws -> Int32? {
            try InheritedSocket.find(
                environment: environment, process: process, firstDescriptor: socket.descriptor)
        }
        #expect(try find(78) == nil)
        // Bound, but it does not listen.
        #expect(throws: ReceiveError.self) { try find(77) }
        #expect(listen(socket.descriptor, 1) == 0)
        #expect(try find(77) == socket.descriptor)
        #expect(try InheritedSocket.find(environment: [:], process: 77) == nil)
    }

    @Test func amongSeveralSocketsOfSystemdTheNameDecides() throws {
        let socket = try ListeningSocket.bind(settings)
        defer { close(socket.descriptor) }
        #expect(listen(socket.descriptor, 1) == 0)
        let found = try InheritedSocket.find(
            environment: ["LISTEN_PID": "77", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "admin:x:receive"], process: 77,
            firstDescriptor: socket.descriptor - 2)
        #expect(found == socket.descriptor)
    }
}
