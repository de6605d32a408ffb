import Testing

@testable import Pipeline

@Suite struct ProcessFiguresTests {
    #if os(Linux)
        @Test func theKernelAnswers() {
            let figures = ProcessFigures.current()
            #expect(figures.cpu > .zero && figures.threads >= 1)
            #expect(figures.residentBytes > 1 << 20 && figures.virtualBytes >= figures.residentBytes)
            #expect(figures.openFiles >= 3 && figures.openFilesMax >= figures.openFiles)
        }
    #endif

    @Test func theNamesAreThoseOfOtherPrograms() {
        let families = ProcessFigures().families(startTimeUnix: 7)
        #expect(families.allSatisfy { $0.name.hasPrefix("process_") && $0.samples.count == 1 })
        #expect(families.first { $0.name == "process_start_time_seconds" }?.samples[0].value == 7)
    }
}
