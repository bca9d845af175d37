// The shopping cart of the Dynamo paper (section 4.4): many devices add to one cart at the same time, through
// any node, and no item that was added is ever lost.
//
//     .build/release/example-shopping-cart 127.0.0.1 127.0.0.2 127.0.0.3
//
// The cart is kept in a keyspace with `conflict: siblings`: of two writes that didn't see each other both are
// kept, and whoever reads the cart next unites them. In a keyspace where the last writer wins one of them
// would be gone, without a word. The price is the one that the paper names: an item that one device takes
// out while another one, which hasn't seen that, writes the cart, comes back.

import MartletClient

/// A cart as one device sees it. A value is a set of items, one a line.
struct Cart {
    let client: MartletClient
    let key: Bytes

    /// Adds an item; on disk on most replicas when this returns.
    func add(_ item: String) async throws(MartletError) {
        try await client.update(key, resolving: .unionOfLines, settles: false) { cart in
            var items = Self.items(of: cart)
            items.insert(item)
            return Self.value(of: items)
        }
    }

    func remove(_ item: String) async throws(MartletError) {
        try await client.update(key, resolving: .unionOfLines) { cart in
            var items = Self.items(of: cart)
            items.remove(item)
            return Self.value(of: items)
        }
    }

    /// All items, and how many versions of the cart there were.
    func look() async throws(MartletError) -> (items: [String], versions: Int) {
        let read = try await client.getVersioned(key)
        var items: Set<String> = []
        for version in read.values { items.formUnion(Self.items(of: version)) }
        return (items.sorted(), read.values.count)
    }

    private static func items(of value: Bytes?) -> Set<String> {
        Set((value?.string ?? "").split(separator: "\n").map(String.init))
    }

    private static func value(of items: Set<String>) -> Bytes {
        Bytes(items.sorted().joined(separator: "\n"))
    }
}

func makeKeyspace(_ client: MartletClient) async throws(MartletError) {
    do throws(MartletError) {
        _ = try await client.send("MARTLET", "KEYSPACE", "CREATE", "carts", "conflict", "siblings")
    } catch {
        guard case .server(_, let text) = error, text.contains("already") else { throw error }
    }
}

/// Adds items of its own, one after the other, and returns them.
func add(_ count: Int, by device: Int, to key: Bytes, _ configuration: MartletClient.Configuration)
    async throws(MartletError) -> [String]
{
    let client = try await MartletClient.connect(to: configuration)
    let cart = Cart(client: client, key: key)
    var items: [String] = []
    for item in 1...count {
        items.append("item \(device).\(item)")
        try await cart.add(items[items.count - 1])
    }
    await client.close()
    return items
}

let seeds = CommandLine.arguments.count > 1 ? Array(CommandLine.arguments.dropFirst()) : ["127.0.0.1"]

// The keyspace is made once; that it is there already is as good.
let shopkeeper = try await MartletClient.connect(to: .init(seeds: seeds))
try await makeKeyspace(shopkeeper)
await shopkeeper.close()

// Each device is a client of its own, which knows nothing of the others.
var configuration = MartletClient.Configuration(seeds: seeds)
configuration.keyspace = "carts"
let devices = 8
let itemsEach = 25
let cart: Bytes = "cart:ann"
let added = try await withThrowingTaskGroup(of: [String].self) { group in
    for device in 1...devices {
        let configuration = configuration
        group.addTask { try await add(itemsEach, by: device, to: cart, configuration) }
    }
    var all: Set<String> = []
    for try await items in group { all.formUnion(items) }
    return all
}

let client = try await MartletClient.connect(to: configuration)
let shop = Cart(client: client, key: cart)
let seen = try await shop.look()
let found = added.intersection(seen.items).count
print("\(devices) devices added \(added.count) items at once; the cart has \(found)")
try await shop.remove("item 1.1")
let left = try await shop.look()
print("without the one that was taken out: \(left.items.count) items in \(left.versions) version")
try await client.delete(cart)
print("checked out: \(try await shop.look().items.count) items")
await client.close()
