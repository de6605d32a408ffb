/// A statement for the server, and how it shall run it.
public struct Query: Hashable, Sendable {
    public var text: String
    /// Empty: the server makes one up.
    public var id: String
    public var settings: [QuerySetting]
    public var parameters: [QueryParameter]
    /// Blocks travel in compressed frames, in both directions; what the client sends is compressed so. nil: bare.
    public var compression: Compression?

    public init(
        _ text: String, id: String = "", settings: [QuerySetting] = [], parameters: [QueryParameter] = [],
        compression: Compression? = nil
    ) {
        self.text = text
        self.id = id
        self.settings = settings
        self.parameters = parameters
        self.compression = compression
    }
}

/// Rows that a query may read by the table's name, and that go to the server along with it: an external table.
public struct ExternalTable: Sendable {
    public let name: String
    /// One block, encoded for the connection's revision, in compressed frames exactly if the query is.
    public let block: BlockBody

    public init(_ name: String, _ block: BlockBody) {
        self.name = name
        self.block = block
    }
}
