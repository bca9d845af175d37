import Glibc
import MartletBase
import MartletConfig
import MartletLoop
import MartletNode
import MartletRocksDB
import MartletRuntime
import MartletServer
import MartletStorage
import MartletVersions

/// One node's process, from its configuration to its clean end.
final class Daemon {
    /// What the process's exit statuses mean, as `--help` lists them.
    enum Exit {
        static let drained: Int32 = 0
        static let usage: Int32 = 2
        static let configuration: Int32 = 3
        static let portInUse: Int32 = 4
        static let storage: Int32 = 5
    }

    /// Why the process can't go on: a sentence, and the status to exit with.
    struct Failure: Error {
        let status: Int32
        let event: LogEvent
        let text: String
    }

    private let log: Log
    private let configuration: ClusterConfiguration
    private let own: NodeSettings
    private let replaces: NodeID?
    private let folder: DataFolder
    private let engine: RocksDBEngine
    private let loop: EventLoop
    private var runtime: NodeRuntime!
    private var server: RedisServer!
    private var faces: [RedisListener] = []
    private var reason: StopReason?

    init(
        _ loaded: LoadedConfiguration, own: NodeSettings, replaces: NodeID?, log: Log
    ) throws(Failure) {
        self.log = log
        self.replaces = replaces
        configuration = loaded.configuration
        self.own = own
        var random = SystemRandomNumberGenerator()
        var seed = Random(seed: random.next())
        do {
            folder = try DataFolder(
                opening: loaded.dataFolder(of: own), cluster: configuration.cluster.name, name: own.name,
                newNode: NodeID(
                    short: random.next(), middle: random.next(),
                    low: UInt32(truncatingIfNeeded: random.next())),
                now: Daemon.wallTime())
            engine = try RocksDBEngine(
                opening: folder, settings: configuration.engineSettings, rules: .records)
        } catch {
            throw Failure(status: Exit.storage, event: .storage, text: "\(error)")
        }
        log.write(
            .info, .starting,
            [
                ("version", Version.text), ("id", folder.identity.node.description), ("data", folder.path),
                ("epoch", "\(folder.epoch)"), ("start", folder.start.rawValue),
            ])
        let recovered: RecoveredState
        let boot: UInt32
        do {
            // The counts of a copy may be those of runs that came after it was made.
            let least = folder.start == .foreign ? RebuildOrder.bootNumber(Self.wallTime()) : 0
            let end = RunEnd(boot: try Self.lastBoot(engine), lastWrite: try engine.sync())
            boot = max(end.boot, least) + 1
            try Self.writeBoot(boot, engine)
            recovered = RecoveredState(
                stampCeiling: HybridTime(bits: folder.stampCeiling),
                meta: try engine.scanMeta(prefix: .empty).map { (key: $0.key, value: $0.value) },
                end: end, trees: folder.readTrees())
        } catch {
            throw Failure(status: Exit.storage, event: .storage, text: "\(error)")
        }
        do {
            loop = try EventLoop()
            try start(recovered, boot: boot, seed: seed.next())
        } catch {
            throw Self.failure(error)
        }
    }

    private static func wallTime() -> WallTime {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return WallTime(microseconds: Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1_000)
    }

    private static func lastBoot(_ engine: RocksDBEngine) throws(StorageError) -> UInt32 {
        guard let known = try engine.readMeta(bootKey) else { return 0 }
        var reader = ByteReader(known.span)
        return (try? reader.u32()) ?? 0
    }

    /// Counts this start, durably, before it writes anything else (`TreeCheckpoint`): the number is part of
    /// every stamp that this run issues.
    private static func writeBoot(_ boot: UInt32, _ engine: RocksDBEngine) throws(StorageError) {
        var writer = ByteWriter()
        writer.u32(boot)
        var batch = WriteBatch()
        batch.putMeta(bootKey, Blob(writer.bytes))
        try engine.write(batch)
        _ = try engine.sync()
    }

    private static let bootKey = Blob("boot")

    private static func failure(_ error: LoopError) -> Failure {
        let address = error.address.map { "\($0)" } ?? "an address"
        if error.cause == .addressInUse {
            return Failure(
                status: Exit.portInUse, event: .starting,
                text:
                    "\(address) is in use: stop what listens there, or give this node other ports in "
                    + "cluster.yaml"
            )
        }
        return Failure(status: Exit.configuration, event: .starting, text: "\(error)")
    }

    // MARK: Start

    private func start(_ recovered: RecoveredState, boot: UInt32, seed: UInt64) throws(LoopError) {
        let folder = folder
        var node = configuration.nodeConfiguration(own: own, folder: folder, boot: boot, seed: seed)
        node.replaces = replaces
        runtime = try NodeRuntime(
            loop, node,
            recovered: recovered, engine: engine, durability: configuration.engineDurability,
            reserve: { ceiling throws(StorageError) in try folder.reserveStamps(ceiling: ceiling) },
            listeners: NodeRuntime.Listeners(
                onReply: { [unowned self] in server.complete($0, $1) },
                onReport: { [log] in log.write($0) },
                onStop: { [unowned self] in stopped($0) }))
        server = RedisServer(RuntimeBackend(runtime), redisSettings(seed: seed ^ 0x6B65_7973))
        server.onReport = { [log] in log.write($0) }
        server.logLevel = LogLevelSetting(
            get: { [log] in log.level.name },
            set: { [log] name in if let level = LogLevel(name: name) { log.level = level } })
        let ports = configuration.ports(of: own)
        for (port, face) in [(ports.redis, RedisFace.single), (ports.redisCluster, .cluster)] where port != 0
        {
            faces.append(
                try RedisListener(loop, Address(ip: own.address, port: port), server: server, face: face))
        }
        server.onDrain = { [unowned self] in drain() }
        for signal in [SignalWatcher.Signal.terminate, .interrupt] {
            _ = try SignalWatcher(loop, signal) { [unowned self] in drain() }
        }
    }

    /// What is in flight is finished, then the node says goodbye and stops.
    private func drain() {
        for face in faces { face.drain() }
        runtime.shutDown()
    }

    private func redisSettings(seed: UInt64) -> RedisSettings {
        let ports = configuration.ports(of: own)
        var settings = RedisSettings(
            nodeID: folder.identity.node, nodeName: own.name, version: Version.text,
            address: Address(ip: own.address, port: ports.redis),
            keyBytesMax: configuration.requests.keyBytesMax,
            valueBytesMax: configuration.requests.valueBytesMax,
            clientsMax: configuration.requests.clientsMax,
            clientOutputMax: configuration.requests.clientOutputMax,
            clockSkewMax: configuration.requests.clockSkewMax,
            syncsBeforeReply: configuration.storage.durability == .batch,
            configuration: configuration.settingTexts, randomSeed: seed)
        settings.clusterPort = ports.redisCluster
        return settings
    }

    /// How a run ended.
    enum End {
        case exit(Int32)
        /// The folder is another one than the node began with: the program begins anew with it.
        case again
    }

    /// Runs until the node has stopped.
    func run() -> End {
        runtime.start()
        let ports = configuration.ports(of: own)
        log.write(
            .info, .started,
            [
                ("address", own.address.description), ("redis", "\(ports.redis)"),
                ("redis_cluster", "\(ports.redisCluster)"),
            ])
        loop.run()
        loop.shutDown()
        return end()
    }

    // MARK: End

    private func stopped(_ reason: StopReason) {
        self.reason = reason
        for face in faces { face.drain() }
        runtime.close()
        loop.stop()
    }

    private func end() -> End {
        switch reason {
        case .drained, .left, nil:
            do {
                let lastWrite = try engine.sync()
                try engine.close()
                if reason != nil { keepTrees(runtime.treeCheckpoint(lastWrite: lastWrite)) }
                try folder.markClean()
            } catch {
                log.write(.error, .storage, [], "\(error)")
                return .exit(Exit.storage)
            }
            log.write(
                .info, .stopped, [],
                reason == .left ? "left the ring: the data folder is of no use any more" : "drained")
            return .exit(Exit.drained)
        case .rebuild(let order, let text): return prepare(order, text)
        case .storage(let text), .identity(let text):
            log.write(.error, .storage, [], text)
            return .exit(Exit.storage)
        }
    }

    /// Without them the next start has more to read, that's all.
    private func keepTrees(_ trees: Blob) {
        do {
            try folder.writeTrees(trees)
        } catch {
            log.write(.warn, .storage, [], "\(error)")
        }
    }

    /// Makes the folder what the peers say that it must be.
    private func prepare(_ order: RebuildOrder, _ text: String) -> End {
        log.write(.warn, .rebuilding, [("id", order.id.description), ("epoch", "\(order.epoch)")], text)
        do {
            try Self.writeBoot(order.boot, engine)
            try engine.close()
            try folder.become(node: order.id, epoch: order.epoch, ceiling: order.ceiling.bits)
            return .again
        } catch {
            log.write(.error, .storage, [], "\(error)")
            return .exit(Exit.storage)
        }
    }
}
