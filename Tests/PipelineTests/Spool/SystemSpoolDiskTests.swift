import Foundation
import TestSupport
import Testing

@testable import Pipeline

@Suite(.endsEvenIfItHangs) struct SystemSpoolDiskTests {
    @Test func theLockOfASecondOneIsClosedOnce() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-disk-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        let first = try SystemSpoolDisk(path: folder.path)
        let closed = filesClosedByOthers {
            for _ in 0..<2_000 { #expect(throws: SpoolDiskError.self) { try SystemSpoolDisk(path: folder.path) } }
        }
        #expect(closed == 0)
        #expect(try first.names() == ["lock"])
    }
}
