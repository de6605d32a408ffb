import TestSupport
import Testing

@testable import Ingest

/// Tables by the bytes of their names.
@Suite struct KnownNamesTests {
    private static func number(_ name: String, in names: KnownNames) -> Int? {
        var name = name
        return name.withUTF8 { names.number(of: UnsafeRawBufferPointer($0)) }
    }

    private static func note(_ name: String, _ number: Int, in names: inout KnownNames) {
        var name = name
        name.withUTF8 { names.note(UnsafeRawBufferPointer($0), number) }
    }

    /// A thousand names in four thousand places: two of some begin at the same place, and are found all the same. A name that is noted again
    /// takes no other place. The last seed had eight in a row in the places that one of its names was looked for in.
    @Test(arguments: Seeds.some(4) + [4_218_148_882]) func aThousandNamesAreFoundAtOnce(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var names = KnownNames()
        let all = (0..<1000).map { "\(random.int(0...1_000_000)).table_\($0)" }
        for _ in 0..<20 {
            for (number, name) in all.enumerated() { Self.note(name, number, in: &names) }
        }
        #expect(all.enumerated().allSatisfy { Self.number($0.element, in: names) == $0.offset })
        #expect(Self.number("other", in: names) == nil)
        names.forget()
        #expect(names.isEmpty)
    }

    /// What finds no place takes another one's: a number is never another name's.
    @Test(arguments: Seeds.some(4)) func moreNamesThanPlacesAreNotMistaken(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        var names = KnownNames()
        let all = (0..<20_000).map { "\(random.next())-\($0)" }
        for (number, name) in all.enumerated() {
            Self.note(name, number, in: &names)
            #expect(Self.number(name, in: names) == number)
        }
        for (number, name) in all.enumerated() {
            let found = Self.number(name, in: names)
            #expect(found == nil || found == number)
        }
    }
}
