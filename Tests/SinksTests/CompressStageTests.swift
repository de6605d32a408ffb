import ClickHouseNative
import NIOCore
import Pipeline
import Sinks
import Synchronization
import TestSupport
import Testing

@Suite(.endsEvenIfItHangs) struct CompressStageTests {
    private let table = TableName(table: "numbers")

    @Test func everyBlockComesOutWithItsRows() async throws {
        let run = try await compress(
            (UInt64(0)..<20).map { id in
                let start = id * 100
                return SealedBlock(id: id, table, [.numbers(start..<start + 60), .numbers(start + 60..<start + 100)])
            }, workers: 3)

        #expect(run.blocks.map(\.id).sorted() == Array(0..<20))
        for block in run.blocks {
            #expect(block.rows == 100)
            var body = block.body
            var raw = try FrameReader.readAll(&body)
            #expect(raw.readableBytes == block.rawBytes)
            let read = try #require(try BlockReader.read(&raw, revision: .newest))
            let values = (0..<100).map { read.nodes[0].data.load(UInt64.self, at: $0 * 8) }
            #expect(values == Array(block.id * 100..<block.id * 100 + 100))
        }
        #expect(run.telemetry.snapshot().rawBytes == UInt64(run.blocks.reduce(0) { $0 + $1.rawBytes }))
        #expect(run.recycledRows == 2000)
        #expect(run.telemetry.snapshot().encodeLatency.count == 20)
    }

    @Test func blocksThatNobodyTakesAnyMoreEndTheStage() async throws {
        let input = BoundedStream<SealedBlock>(elementsMax: 8, bytesMax: 1 << 20) { $0.bytes }
        let output = BoundedStream<EncodedBlock>(elementsMax: 8, bytesMax: 1 << 20) { $0.body.readableBytes }
        let sink = NullSink(input: output, telemetry: Telemetry())
        let stage = CompressStage(
            input: input, output: output, settings: CompressSettings(), sink: sink, telemetry: Telemetry())
        output.finish()
        try await input.send(SealedBlock(table, [.numbers(0..<10)]))
        input.finish()
        await #expect(throws: StageError.self) { try await stage.run() }
        #expect(stage.rowsHeld == 10)
    }

    @Test func theNullSinkCountsWhatItDrops() async throws {
        let input = BoundedStream<EncodedBlock>(elementsMax: 8, bytesMax: 1 << 20) { $0.body.readableBytes }
        let telemetry = Telemetry()
        let sink = NullSink(input: input, telemetry: telemetry)
        let encoding = await sink.encoding(with: .lz4)
        for id in UInt64(0)..<3 {
            try await input.send(EncodedBlock(SealedBlock(id: id, table, [.numbers(0..<10)]), encoding))
        }
        input.finish()
        try await sink.run()
        #expect(telemetry.snapshot().committedRows == 30)
        #expect(telemetry.snapshot().tables.first?.committedBlocks == 3)
    }

    private func compress(
        _ blocks: [SealedBlock], workers: Int
    ) async throws -> (blocks: [EncodedBlock], telemetry: Telemetry, recycledRows: Int) {
        let input = BoundedStream<SealedBlock>(elementsMax: 64, bytesMax: 1 << 20) { $0.bytes }
        let output = BoundedStream<EncodedBlock>(elementsMax: 2, bytesMax: 1 << 20) { $0.body.readableBytes }
        let telemetry = Telemetry()
        let sink = NullSink(input: output, telemetry: telemetry)
        let recycled = Recorder<Int>()
        var settings = CompressSettings()
        settings.workers = workers
        let stage = CompressStage(
            input: input, output: output, settings: settings, sink: sink, telemetry: telemetry,
            recycle: { blocks in
                for block in blocks {
                    recycled.record(block.rows)
                    // As the pool does: nobody may count by the block after this.
                    block.removeAll()
                }
            })
        let running = Task { try await stage.run() }
        for block in blocks { try await input.send(block) }
        input.finish()
        var out: [EncodedBlock] = []
        while let block = await output.next() { out.append(block) }
        try await running.value
        #expect(stage.rowsHeld == 0)
        return (out, telemetry, recycled.values.reduce(0, +))
    }
}
