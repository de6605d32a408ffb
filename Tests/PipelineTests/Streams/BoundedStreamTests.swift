import Pipeline
import Synchronization
import Testing
import TestSupport

@Suite(.endsEvenIfItHangs) struct BoundedStreamTests {
    private func stream(elements: Int = 4, bytes: Int = 1_000) -> BoundedStream<Int> {
        BoundedStream(elementsMax: elements, bytesMax: bytes) { $0 }
    }

    @Test func elementsComeOutInOrderAndThenTheEnd() async throws {
        let stream = stream()
        for element in 1...3 { try await stream.send(element) }
        stream.finish()
        var received: [Int] = []
        for await element in stream { received.append(element) }
        #expect(received == [1, 2, 3])
        #expect(await stream.next() == nil)
        #expect(await stream.nextBatch(maxElements: 4) == nil)
    }

    @Test func aFullStreamHoldsTheSenderUntilThereIsRoom() async throws {
        let stream = stream(elements: 2)
        try await stream.send(1)
        try await stream.send(2)
        let sender = Task { try await stream.send(3) }
        await eventually { stream.snapshot().sendersWaiting == 1 }
        #expect(await stream.next() == 1)
        try await sender.value
        #expect(stream.takeAvailable(maxElements: 9) == [2, 3])
        #expect(stream.snapshot().sendersSuspended > .zero)
    }

    @Test func theByteBoundCountsAsMuchAsTheElementBound() throws {
        let stream = stream(elements: 10, bytes: 100)
        #expect(isAccepted(stream.trySend(60)))
        guard case .full(50) = stream.trySend(50) else {
            Issue.record("50 more bytes than fit were taken")
            return
        }
        #expect(isAccepted(stream.trySend(40)))
        #expect(stream.snapshot().bytes == 100)
    }

    @Test func anElementHeavierThanTheBoundPassesAlone() async throws {
        let stream = stream(elements: 10, bytes: 100)
        #expect(isAccepted(stream.trySend(500)))
        #expect(!isAccepted(stream.trySend(1)))
        let sender = Task { try await stream.send(700) }
        await eventually { stream.snapshot().sendersWaiting == 1 }
        #expect(await stream.next() == 500)
        try await sender.value
        #expect(await stream.next() == 700)
    }

    @Test func aFinishedStreamHandsBackWhatItDidNotTake() async throws {
        let stream = stream(elements: 1)
        try await stream.send(1)
        let waiting = Task { try await stream.send(2) }
        await eventually { stream.snapshot().sendersWaiting == 1 }
        stream.finish()
        let error = await #expect(throws: SendError<Int>.self) { try await waiting.value }
        #expect(error?.element == 2)
        let late = await #expect(throws: SendError<Int>.self) { try await stream.send(3) }
        #expect(late?.element == 3)
        guard case .finished(4) = stream.trySend(4) else {
            Issue.record("a finished stream took an element")
            return
        }
        #expect(await stream.next() == 1)
        #expect(await stream.next() == nil)
    }

    @Test func aCancelledSenderGetsItsElementBackAndTheNextOneItsTurn() async throws {
        let stream = stream(elements: 10, bytes: 100)
        try await stream.send(50)
        let heavy = Task { try await stream.send(90) }
        await eventually { stream.snapshot().sendersWaiting == 1 }
        let light = Task { try await stream.send(10) }
        await eventually { stream.snapshot().sendersWaiting == 2 }
        heavy.cancel()
        let error = await #expect(throws: SendError<Int>.self) { try await heavy.value }
        guard case .cancelled(90) = error else {
            Issue.record("not handed back: \(String(describing: error))")
            return
        }
        try await light.value
        #expect(stream.takeAvailable(maxElements: 9) == [50, 10])
    }

    @Test func aCancelledConsumerLeavesTheElementForAnother() async throws {
        let stream = stream()
        let cancelled = Task { await stream.next() }
        await eventually { stream.snapshot().consumersWaiting == 1 }
        cancelled.cancel()
        #expect(await cancelled.value == nil)
        try await stream.send(7)
        #expect(await stream.next() == 7)
    }

    @Test func aBatchTakesWhatIsThereUpToItsLimits() async throws {
        let stream = stream(elements: 10, bytes: 1_000)
        for element in [10, 20, 30, 40] { try await stream.send(element) }
        #expect(await stream.nextBatch(maxElements: 2) == [10, 20])
        #expect(await stream.nextBatch(maxElements: 9, maxBytes: 60) == [30])
        #expect(await stream.nextBatch(maxElements: 9, maxBytes: 1) == [40], "at least one")
        #expect(stream.takeAvailable(maxElements: 9).isEmpty)
    }

    @Test func anEventLoopIsCalledBackWhenHalfOfTheStreamIsFree() throws {
        let stream = stream(elements: 4)
        for element in 1...4 { #expect(isAccepted(stream.trySend(element))) }
        let calls = Recorder<String>()
        stream.onWritable { calls.record("first") }
        let gone = try #require(stream.onWritable { calls.record("gone") })
        stream.cancelWritable(gone)
        #expect(stream.takeAvailable(maxElements: 1) == [1])
        #expect(calls.values.isEmpty)
        #expect(stream.takeAvailable(maxElements: 1) == [2])
        #expect(calls.values == ["first"])
        stream.onWritable { calls.record("at once") }
        #expect(calls.values == ["first", "at once"])
    }

    @Test(.endsEvenIfItHangs) func whoMakesAnElementWaitsUntilItIsWanted() async {
        let stream = stream(elements: 4)
        await stream.waitUntilWritable()
        for element in 1...4 { #expect(isAccepted(stream.trySend(element))) }
        let calls = Recorder<String>()
        let waiting = Task {
            await stream.waitUntilWritable()
            calls.record("writable")
        }
        let cancelled = Task { await stream.waitUntilWritable() }
        cancelled.cancel()
        await cancelled.value
        #expect(stream.takeAvailable(maxElements: 1) == [1])
        #expect(calls.values.isEmpty)
        #expect(stream.takeAvailable(maxElements: 1) == [2])
        await waiting.value
        #expect(isAccepted(stream.trySend(5)) && isAccepted(stream.trySend(6)))
        let last = Task { await stream.waitUntilWritable() }
        stream.finish()
        await last.value
    }

    @Test func onlyAsManyEventLoopsAreCalledAsThereIsRoomForTheOthersLater() throws {
        let stream = stream(elements: 100, bytes: 100)
        for _ in 0..<10 { #expect(isAccepted(stream.trySend(10))) }
        let calls = Recorder<Int>()
        for number in 0..<8 { stream.onWritable(for: 30) { calls.record(number) } }
        _ = stream.takeAvailable(maxElements: 5)
        #expect(calls.values == [0])
        _ = stream.takeAvailable(maxElements: 4)
        #expect(calls.values == [0, 1, 2, 3])
        _ = stream.takeAvailable(maxElements: 1)
        #expect(calls.values == Array(0..<8), "nobody is forgotten when nothing is left to take")
    }

    @Test func waitingEventLoopsLearnOfTheEnd() throws {
        let stream = stream(elements: 1)
        #expect(isAccepted(stream.trySend(1)))
        let calls = Recorder<Int>()
        stream.onWritable { calls.record(1) }
        stream.finish()
        #expect(calls.values == [1])
    }

    private func isAccepted(_ result: TrySendResult<Int>) -> Bool {
        if case .accepted = result { true } else { false }
    }
}
