import CountedWork
import Foundation
import Workloads

/// Does one piece of work a third time, when all memory that it needs is there, and prints what that asked of the heap as JSON.
/// Under callgrind, with `--toggle-collect=sluice_counted_work`, only that last time is counted, too. One thread, no waits: the
/// figures are the same wherever this runs. Started by `Benchmarks count`.
@main
enum Counts {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        guard let name = arguments.first, let schema = arguments.dropFirst().first else {
            print(CountedWork.names.joined(separator: "\n"))
            return
        }
        do {
            let counts = try CountedWork.make(name, SchemaFolder(path: schema)).count()
            print(String(decoding: try JSONEncoder().encode(counts), as: UTF8.self))
        } catch {
            FileHandle.standardError.write(Data("\(error)\n".utf8))
            exit(1)
        }
    }
}
