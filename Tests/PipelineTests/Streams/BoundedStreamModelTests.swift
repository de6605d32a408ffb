import Testing
import TestSupport

@testable import Pipeline

/// The state machine against a model that is too simple to be wrong: arrays that are searched. Tokens are numbers, so
/// that nothing runs at the same time and a seed repeats a failure exactly.
@Suite struct BoundedStreamModelTests {
    typealias Machine = BoundedStreamStateMachine<Item, UInt64, UInt64, UInt64>

    struct Item: Hashable, Sendable {
        let number: Int
        let weight: Int
    }

    struct Model {
        var elementsMax: Int
        var bytesMax: Int
        var stored: [Item] = []
        var senders: [(id: UInt64, item: Item)] = []
        var consumers: [UInt64] = []
        var isFinished = false
        /// What was let in, in order; and what came out, in order.
        var accepted: [Int] = []
        var delivered: [Int] = []

        func admits(_ item: Item) -> Bool {
            stored.isEmpty
                || (stored.count < elementsMax && stored.reduce(0) { $0 + $1.weight } + item.weight <= bytesMax)
        }

        mutating func admitWaiting() -> [UInt64] {
            var admitted: [UInt64] = []
            while let first = senders.first, admits(first.item) {
                senders.removeFirst()
                stored.append(first.item)
                accepted.append(first.item.number)
                admitted.append(first.id)
            }
            return admitted
        }
    }

    @Test(arguments: Seeds.some(200))
    func behavesAsTheSimplestModelDoes(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let elementsMax = random.int(1...6)
        let bytesMax = random.int(1...60)
        var machine = Machine(elementsMax: elementsMax, bytesMax: bytesMax)
        var model = Model(elementsMax: elementsMax, bytesMax: bytesMax)
        var watching: Set<UInt64> = []

        func checkReleased(_ released: Machine.Released, admitted: [UInt64]) {
            #expect(released.senders.map(\.id) == admitted)
            for watcher in released.watchers {
                #expect(watching.remove(watcher.id) != nil, "a callback is called once")
            }
        }

        for number in 0..<400 {
            switch random.int(0...99) {
            case 0..<45:
                let item = Item(
                    number: number, weight: random.one(in: 12) ? bytesMax * 2 : random.int(0...bytesMax / 2 + 1))
                let entry = Machine.Entry(element: item, weight: item.weight)
                let id = machine.nextID()
                let waits = random.one(in: 2)
                let result = waits ? suspend(&machine, id, entry) : attempt(&machine, entry)
                switch result {
                case .finished: #expect(model.isFinished)
                case .handedTo(let consumer):
                    #expect(consumer == model.consumers.removeFirst())
                    #expect(model.stored.isEmpty)
                    model.accepted.append(number)
                    model.delivered.append(number)
                case .accepted:
                    #expect(model.senders.isEmpty && model.consumers.isEmpty && model.admits(item))
                    model.stored.append(item)
                    model.accepted.append(number)
                case .refused:
                    #expect(!model.isFinished && (!model.senders.isEmpty || !model.admits(item)))
                    if waits { model.senders.append((id, item)) }
                }
            case 45..<65:
                let id = machine.nextID()
                switch machine.consumerSuspended(id: id, token: id) {
                case .suspend:
                    #expect(model.stored.isEmpty && !model.isFinished)
                    model.consumers.append(id)
                case .end: #expect(model.stored.isEmpty && model.isFinished)
                case .take(let item, let released):
                    #expect(item == model.stored.removeFirst())
                    model.delivered.append(item.number)
                    checkReleased(released, admitted: model.admitWaiting())
                }
            case 65..<80:
                let elements = random.int(1...5)
                let bytes = random.int(0...bytesMax)
                let mayExceed = random.one(in: 2)
                var taken: [Item] = []
                let released = machine.elementsWanted(
                    elementsMax: elements, bytesMax: bytes, mayExceed: mayExceed, into: &taken)
                #expect(taken == Array(model.stored.prefix(taken.count)) && taken.count <= elements)
                let sum = taken.reduce(0) { $0 + $1.weight }
                #expect(sum <= bytes || (mayExceed && taken.count == 1))
                model.stored.removeFirst(taken.count)
                if let next = model.stored.first, taken.count < elements {
                    #expect(sum + next.weight > bytes, "takes all that it may")
                }
                model.delivered += taken.map(\.number)
                checkReleased(released, admitted: model.admitWaiting())
            case 80..<86:
                guard let chosen = model.senders.randomElement(using: &random) else { continue }
                let cancelled = machine.senderCancelled(id: chosen.id)
                let (sender, released) = try #require(cancelled)
                #expect(sender.entry.element == chosen.item, "hands back what it did not take")
                model.senders.removeAll { $0.id == chosen.id }
                checkReleased(released, admitted: model.admitWaiting())
                let again = machine.senderCancelled(id: chosen.id)
                #expect(again == nil)
            case 86..<91:
                guard let chosen = model.consumers.randomElement(using: &random) else { continue }
                let cancelled = machine.consumerCancelled(id: chosen)
                #expect(cancelled?.token == chosen)
                model.consumers.removeAll { $0 == chosen }
            case 91..<97:
                let id = machine.nextID()
                let atOnce = machine.watcherAdded(id: id, weight: random.int(0...bytesMax), token: id)
                if !atOnce { watching.insert(id) }
                if model.stored.isEmpty || model.isFinished { #expect(atOnce) }
            case 97..<99:
                guard let chosen = watching.randomElement(using: &random) else { continue }
                let removed = machine.watcherRemoved(id: chosen)
                #expect(removed?.id == chosen)
                watching.remove(chosen)
            default:
                guard number > 300 else { continue }
                let finished = machine.finish()
                #expect(finished.senders.map(\.id) == model.senders.map(\.id))
                #expect(finished.consumers.map(\.id) == model.consumers)
                #expect(Set(finished.watchers.map(\.id)) == watching)
                model.senders = []
                model.consumers = []
                watching = []
                model.isFinished = true
            }
            #expect(machine.count == model.stored.count)
            #expect(machine.bytes == model.stored.reduce(0) { $0 + $1.weight })
            #expect(machine.accepted == UInt64(model.accepted.count))
            #expect(machine.watchers.map(\.id).sorted() == watching.sorted())
            #expect(machine.count <= elementsMax && (machine.bytes <= bytesMax || machine.count == 1))
            #expect(machine.consumers.isEmpty || (machine.count == 0 && !machine.isFinished))
            #expect(machine.senders.isEmpty || machine.count > 0)
            #expect(machine.watchers.isEmpty || machine.count > 0)
        }
        #expect(model.delivered == Array(model.accepted.prefix(model.delivered.count)), "first in, first out")
        #expect(model.delivered.count + model.stored.count == model.accepted.count, "nothing lost")
    }

    private enum Outcome { case accepted, refused, finished, handedTo(UInt64) }

    private func attempt(_ machine: inout Machine, _ entry: Machine.Entry) -> Outcome {
        switch machine.sendAttempted(entry) {
        case .accept: .accepted
        case .resume(let consumer): .handedTo(consumer.id)
        case .rejectFull: .refused
        case .rejectFinished: .finished
        }
    }

    private func suspend(_ machine: inout Machine, _ id: UInt64, _ entry: Machine.Entry) -> Outcome {
        switch machine.senderSuspended(id: id, entry: entry, token: id) {
        case .accept: .accepted
        case .resume(let consumer): .handedTo(consumer.id)
        case .suspend: .refused
        case .rejectFinished: .finished
        }
    }
}
