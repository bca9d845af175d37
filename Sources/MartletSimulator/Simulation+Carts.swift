import MartletBase
import MartletNode
import MartletRing
import MartletStorage
import MartletVersions

/// The keys of the keyspace with siblings: `cart-a`, `cart-b` and so on.
enum Carts {
    static let keyspace: UInt32 = 1
    static let count = 4
    static let customers = 5
    static let tickets: UInt64 = 1 << 60

    static func key(_ index: Int) -> Blob {
        Blob([UInt8]("cart-".utf8) + [UInt8(ascii: "a") + UInt8(index)])
    }

    static func index(of key: Blob) -> Int? {
        guard key.count == 6, let last = key.bytes.last else { return nil }
        let index = Int(last) - Int(UInt8(ascii: "a"))
        return (0..<count).contains(index) ? index : nil
    }

    static func stored(_ index: Int) -> StorageKey {
        let key = key(index)
        return StorageKey(keyspace: keyspace, token: Token(key: key).value, key: key)
    }
}

/// A client that reads a cart and writes it back with the context that came with it.
struct Customer {
    var key = 0
    var context = CausalContext.empty
    /// What the context covers; nil when it isn't known for sure.
    var seen: Set<Stamp>? = []
}

/// A request of a customer that is under way.
struct CartRequest {
    let number: UInt64
    let customer: Int
    let key: Int
    let isRead: Bool
    let level: ConsistencyLevel
    let levelClass: Int
    let process: Int
    let life: UInt32
    let began: Instant
    /// Puts that a read must know of.
    var floor: [UInt64] = []
    /// What was put, so that it can be sent again: the number in its value, and its context.
    var source: UInt64 = 0
    var isDelete = false
    var context = CausalContext.empty
}

/// A put that timed out, and is to be sent again under its version.
struct CartRetry {
    let request: CartRequest
    let version: Stamp
}

extension Simulation {
    /// The next customer reads a cart, or writes to it.
    mutating func shop() throws(Violation) {
        guard phase == .faults || phase == .healing || phase == .calm else { return }
        schedule(.shop, after: customers.within(.milliseconds(20)...(.milliseconds(300))))
        let customer = customers.below(Carts.customers)
        let process = asked[customers.below(asked.count)]
        guard process.state == .running else { return }
        if customers.chance(0.45) {
            // Another cart's context is good for nothing here.
            let key = customers.below(Carts.count)
            if key != carts[customer].key { carts[customer] = Customer(key: key) }
            try readCart(customer, process)
        } else {
            let isBlind = customers.chance(0.1)
            try putCart(
                customer, process, context: isBlind ? .empty : carts[customer].context,
                seen: isBlind ? [] : carts[customer].seen)
        }
    }

    private mutating func readCart(_ customer: Int, _ process: SimulatedProcess) throws(Violation) {
        let levels = plan.workload.readLevels
        let level = levels[customers.below(levels.count)]
        var request = cartRequest(customer, carts[customer].key, process, level, isRead: true)
        if plan.durability == .batch { request.floor = causal.floor(request.key, request.levelClass) }
        try submit(request, process, .get)
    }

    private mutating func putCart(
        _ customer: Int, _ process: SimulatedProcess, context: CausalContext, seen: Set<Stamp>?
    ) throws(Violation) {
        let levels = plan.workload.writeLevels
        let level = levels[customers.below(levels.count)]
        var request = cartRequest(customer, carts[customer].key, process, level, isRead: false)
        request.source = request.number
        request.isDelete = customers.chance(0.1)
        request.context = context
        causal.asked(
            request.number, Causal.Put(key: request.key, seen: seen, isDelete: request.isDelete))
        try submit(request, process, put(request, version: nil))
    }

    private func put(_ request: CartRequest, version: Stamp?) -> ClientRequest.Operation {
        let content: Put.Content =
            request.isDelete
            ? .tombstone
            : .value(
                WorkloadValues.value(operation: request.source, byteCount: 8 + Int(request.source % 40)),
                expiry: nil)
        return .put(Put(content, context: request.context, version: version))
    }

    private mutating func cartRequest(
        _ customer: Int, _ key: Int, _ process: SimulatedProcess, _ level: ConsistencyLevel, isRead: Bool
    ) -> CartRequest {
        cartsAsked += 1
        return CartRequest(
            number: Carts.tickets | cartsAsked, customer: customer, key: key, isRead: isRead, level: level,
            levelClass: levels.index(level, centre: centreOfProcess[process.index]), process: process.index,
            life: process.life, began: now)
    }

    private mutating func submit(
        _ request: CartRequest, _ process: SimulatedProcess, _ operation: ClientRequest.Operation
    ) throws(Violation) {
        counters.operations += 1
        cartRequests[request.number] = request
        record(
            "customer \(request.customer) asks \(process.name): \(request.number & 0xFFFF_FFFF) "
                + "\(request.isRead ? "get" : request.isDelete ? "delete" : "put") c\(request.key) "
                + "\(request.level)")
        try turn(
            process,
            .client(
                ClientTicket(request.number),
                ClientRequest(
                    keyspace: Carts.keyspace, key: Carts.key(request.key), operation: operation,
                    level: request.level, timeout: Self.requestTimeout)))
    }

    /// A record of a cart is on its way to another node.
    mutating func noteSent(_ keyspace: UInt32, _ key: Blob, _ record: Blob) throws(Violation) {
        guard keyspace == Carts.keyspace, let cart = Carts.index(of: key) else { return }
        try causal.met(record, key: cart, leaves: true)
    }

    // MARK: Answers

    mutating func cartAnswered(
        _ process: SimulatedProcess, _ number: UInt64, _ reply: ClientReply
    ) throws(Violation) {
        guard let request = cartRequests.removeValue(forKey: number) else {
            throw Violation("Answered", "\(process.name) answers a customer who has asked for nothing")
        }
        record("\(process.name) answers \(number & 0xFFFF_FFFF): \(Self.text(reply))")
        trace.add(at: now, process: process.index, kind: 31, digest: number ^ (reply.isFailure ? 1 : 2))
        switch reply {
        case .read(let record): try cartRead(request, record)
        case .written(let dot): try cartWritten(request, dot)
        case .failed(let failure): try cartFailed(process, request, failure)
        case .scanned, .defined, .acted: throw Violation("Answered", "a customer got another's answer")
        }
    }

    private mutating func cartRead(_ request: CartRequest, _ record: Blob?) throws(Violation) {
        counters.reads += 1
        if let record { try causal.met(record, key: request.key, leaves: true) }
        if !plan.hints.isSloppy {
            try causal.check(
                record, key: request.key, knows: request.floor, "a read at \(request.level) shows")
        }
        guard carts[request.customer].key == request.key else { return }
        var versions: [Stamp] = []
        if let record { Record.forEachVersion(record.span) { versions.append($0.stamp) } }
        carts[request.customer].context = record.map { Record.context(of: $0.span) } ?? .empty
        carts[request.customer].seen = causal.known(versions)
    }

    private mutating func cartWritten(_ request: CartRequest, _ dot: Stamp) throws(Violation) {
        counters.acknowledged += 1
        try causal.named(request.source, dot)
        // What one owner alone has may have gone with its disk.
        let mayBeLost =
            request.began <= lastLossAt && causal.isFragile(request.levelClass, plan.hints.isSloppy)
        if plan.durability == .batch, !mayBeLost {
            // Whoever gives a put its dot owns the key, and has it; but while slots change hands that is one
            // list of owners, and at ANY a hint does for the other.
            let isHinted =
                request.level == .any && processes[request.process].node?.handoverStatus() != nil
            causal.acknowledged(request.source, as: dot, request.levelClass, isHinted: isHinted)
        }
        guard carts[request.customer].key == request.key else { return }
        // The customer goes on from what it has put, without another read.
        var context = request.context
        context.insert(dot)
        carts[request.customer].context = context
        carts[request.customer].seen = causal.puts[request.source]?.seen?.union([dot])
    }

    private mutating func cartFailed(
        _ process: SimulatedProcess, _ request: CartRequest, _ failure: RequestFailure
    ) throws(Violation) {
        if case .timeout(_, _, _, _, _, _, let version, _) = failure {
            counters.timedOut += 1
            guard let version, !request.isRead else { return }
            try causal.named(request.source, version)
            if customers.chance(plan.workload.retries) {
                schedule(
                    .shopAgain(CartRetry(request: request, version: version)),
                    after: customers.within(.milliseconds(10)...(.seconds(3))))
            }
            return
        }
        counters.refused += 1
        causal.refused(request.source)
        let isRestamping = process.clock.wallError(at: now).magnitude > Self.clockGoodWithin
        if case .siblings = failure { return }
        guard
            phase != .calm || isRestamping || plan.inFlightMax < 1_000
                || !levels.isPossible(request.levelClass)
        else {
            throw Violation("Answered", "a customer's request failed in a healthy cluster: \(failure)")
        }
    }

    mutating func shopAgain(_ retry: CartRetry) throws(Violation) {
        let process = asked[customers.below(asked.count)]
        guard phase != .sweeping, phase != .ended, process.state == .running else { return }
        let request = retry.request
        causal.repeated(request.source)
        var again = cartRequest(request.customer, request.key, process, request.level, isRead: false)
        again.source = request.source
        again.isDelete = request.isDelete
        again.context = request.context
        try submit(again, process, put(again, version: retry.version))
    }

    /// The process died: its customers hear nothing more.
    mutating func abandonCarts(at process: SimulatedProcess) {
        for (number, request) in cartRequests where request.process == process.index {
            if request.life == process.life { cartRequests[number] = nil }
        }
    }

    /// Once a second: every request has its answer in time.
    func checkCarts() throws(Violation) {
        for (_, request) in cartRequests {
            let process = processes[request.process]
            guard process.state == .running, process.life == request.life else { continue }
            let due = max(request.began + Self.requestTimeout, process.resumedAt)
            if now > due + .milliseconds(100) {
                throw Violation("Answered", "a customer's request of c\(request.key) was never answered")
            }
        }
    }

    /// All is over: together the disks know every put that was acknowledged.
    mutating func checkCartsAtTheEnd() throws(Violation) {
        guard plan.durability == .batch else { return }
        for key in 0..<Carts.count {
            var joined: Blob?
            for process in present {
                guard let record = process.disk.read(Carts.stored(key)) else { continue }
                joined = joined.map { Record.join($0, record) } ?? record
            }
            if let joined { try causal.met(joined, key: key, leaves: false) }
            try causal.check(
                joined, key: key, knows: causal.acknowledgedPuts(key), "at the end the disks hold")
        }
    }
}
