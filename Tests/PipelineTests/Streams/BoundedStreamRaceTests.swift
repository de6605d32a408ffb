import Pipeline
import Testing
import TestSupport

/// Many tasks at once, cancelled at any moment: what was sent is what was received, handed back, or still there.
@Suite(.endsEvenIfItHangs) struct BoundedStreamRaceTests {
    @Test(arguments: Seeds.some(12))
    func nothingIsLostOrDoubledHoweverTasksAreCancelled(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let stream = BoundedStream<Int>(elementsMax: random.int(1...5), bytesMax: random.int(1...40)) { $0 % 17 }
        let received = Recorder<[Int]>()
        let sendersCount = 6
        let perSender = 200

        let senders = (0..<sendersCount).map { sender in
            Task { () -> (accepted: [Int], returned: [Int]) in
                var accepted: [Int] = []
                var returned: [Int] = []
                for number in 0..<perSender {
                    let element = sender * perSender + number
                    do throws(SendError<Int>) {
                        try await stream.send(element)
                        accepted.append(element)
                    } catch {
                        returned.append(error.element)
                    }
                }
                return (accepted, returned)
            }
        }
        let consumers = (0..<4).map { consumer in
            Task {
                var mine: [Int] = []
                while let batch = await stream.nextBatch(maxElements: 3) { mine += batch }
                received.record(mine)
            }
        }
        // Half of both are cancelled somewhere in the middle.
        for place in 0..<3 {
            for _ in 0..<random.int(0...300) { await Task.yield() }
            senders[place].cancel()
            if place < 2 { consumers[place].cancel() }
        }
        var accepted: [Int] = []
        var returned: [Int] = []
        for sender in senders {
            let outcome = await sender.value
            #expect(outcome.accepted.count + outcome.returned.count == perSender)
            accepted += outcome.accepted
            returned += outcome.returned
        }
        stream.finish()
        for consumer in consumers { await consumer.value }
        let delivered = received.values.flatMap { $0 }
        #expect(delivered.sorted() == accepted.sorted())
        #expect(Set(delivered).isDisjoint(with: returned))
        #expect(stream.snapshot().elements == 0 && stream.snapshot().bytes == 0)
        #expect(stream.snapshot().accepted == UInt64(accepted.count))
        // One consumer sees each sender's elements in their order.
        for mine in received.values {
            for sender in 0..<sendersCount {
                let ofSender = mine.filter { $0 / perSender == sender }
                #expect(ofSender == ofSender.sorted())
            }
        }
    }

    @Test(arguments: Seeds.some(6))
    func eventLoopsThatWaitForRoomGetEverythingThrough(seed: UInt64) async throws {
        var random = SeededRandom(seed: seed)
        let stream = BoundedStream<Int>(elementsMax: random.int(1...8), bytesMax: random.int(10...200)) { _ in 7 }
        let loops = 20
        let perLoop = 100
        let producing = Task {
            await withTaskGroup(of: Void.self) { group in
                for loop in 0..<loops {
                    group.addTask {
                        for number in 0..<perLoop {
                            let element = loop * perLoop + number
                            while case .full = stream.trySend(element) {
                                let gate = Gate()
                                stream.onWritable(for: 7) { gate.open() }
                                await gate.wait()
                            }
                        }
                    }
                }
            }
            stream.finish()
        }
        var received: [Int] = []
        while let batch = await stream.nextBatch(maxElements: random.int(1...4)) { received += batch }
        await producing.value
        #expect(received.sorted() == Array(0..<loops * perLoop))
    }
}
