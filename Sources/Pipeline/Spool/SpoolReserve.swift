/// Room on the disk that is taken beforehand, for the seals and settlements that get rows out of a spool on a full disk
/// (docs/specs/spool.md). A value; `SpoolCore` decides when it is needed.
struct SpoolReserve {
    static let fileName = "reserve"
    /// A reserve of less than one in so many parts is not worth its while.
    private static let partsMax = 16

    /// What there is of it; 0: nothing.
    private(set) var bytes = 0
    /// Files that are done with, and could not be cut off so far.
    private var untruncated: [(file: any SpoolFile, length: Int)] = []
    /// Whether the file system takes room beforehand at all.
    private var isPossible = true

    /// Whether there is as much as is wanted; where none can be had, none is missing.
    func isWhole(_ wanted: Int) -> Bool { !isPossible || bytes >= wanted }

    /// As much as there is room for; more of it when there is more room.
    mutating func keep(_ wanted: Int, on disk: any SpoolDisk) {
        untruncated.removeAll { (try? $0.file.truncate(to: $0.length)) != nil }
        var size = wanted
        while size > bytes, size >= wanted / Self.partsMax {
            do {
                try disk.reserve(Self.fileName, bytes: size)
                bytes = size
                return
            } catch {
                guard error.isOutOfSpace else {
                    isPossible = false
                    return
                }
                size /= 2
            }
        }
    }

    /// Makes a file of it.
    mutating func take(as name: String, on disk: any SpoolDisk) throws(SpoolDiskError) -> any SpoolFile {
        // Renamed, not removed: nobody else may have its room in between.
        bytes = 0
        try disk.rename(Self.fileName, to: name)
        do {
            return try disk.open(name)
        } catch {
            try? disk.remove(name)
            throw error
        }
    }

    /// Cuts off a file that is done with, and with that the room that it has taken beforehand. Should the disk refuse, it is asked again.
    mutating func giveBack(_ file: any SpoolFile, to length: Int) {
        if (try? file.truncate(to: length)) == nil { untruncated.append((file, length)) }
    }
}
