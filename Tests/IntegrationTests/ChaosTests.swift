import Foundation
import TestSupport
import Testing

/// The short form of `scripts/chaos`; docs/chaos.md says what it does.
@Suite(.serialized) struct ChaosTests {
    private func run(_ arguments: [String], _ seed: UInt64) async throws {
        // The executable lies beside the bundle of the tests.
        let bin = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        let sluice = bin.appendingPathComponent("sluice").path
        try #require(FileManager.default.isExecutableFile(atPath: sluice), "no executable at \(sluice)")
        let said = try await ScriptRunner.run("scripts/chaos", arguments + ["--seed", "\(seed)", "--sluice", sluice])
        print(said)
        #expect(said.contains("the promise held"))
    }

    @Test(.timeLimit(.minutes(10)), .enabled { await ClickHouseServer.isAvailable(.modern) }, arguments: Seeds.some(2))
    func everyAckedRowLandsOnce(_ seed: UInt64) async throws { try await run(["--kills", "12"], seed) }

    @Test(.timeLimit(.minutes(10)), .enabled { await ClickHouseServer.isAvailable(.modern) }, arguments: Seeds.some(1))
    func everyAckedRowLandsOnceThoughTheDiskIsFull(_ seed: UInt64) async throws {
        try await run(["--kills", "10", "--disk-full"], seed)
    }

    @Test(
        .timeLimit(.minutes(10)),
        .enabled(if: FileManager.default.fileExists(atPath: "/usr/share/java/zookeeper.jar"), "apt install zookeeper"),
        arguments: Seeds.some(1))
    func everyAckedRowLandsOnceOnReplicas(_ seed: UInt64) async throws {
        try await run(["--server", "replicated", "--kills", "10"], seed)
    }
}
