// swift-tools-version: 6.2
// The floors of docs/ARCHITECTURE.md, top to bottom. A target imports only from lower floors, and targets of
// one floor never import each other; scripts/tidy fails the build when an import breaks this.
import PackageDescription

/// Set by scripts/fuzz, which builds in a folder of its own: libFuzzer must see every branch of the modules,
/// so they all are compiled with its counters, and there is one program more. Nothing of it is in another
/// build.
let isFuzzing = Context.environment["FUZZING"] != nil

/// What every target of ours is compiled with: language mode 6, warnings are errors, lifetimes for the
/// cursors that borrow a frame, and leaves inlined across modules in release.
let settings: [SwiftSetting] =
    [
        .swiftLanguageMode(.v6),
        .enableExperimentalFeature("Lifetimes"),
        .treatAllWarnings(as: .error),
        .unsafeFlags(["-cross-module-optimization"], .when(configuration: .release)),
    ] + (isFuzzing ? [.unsafeFlags(["-sanitize=fuzzer,address"])] : [])

func module(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: settings)
}

/// A module of values without classes. What its `package` types conform to is hidden from the optimiser in
/// other modules (Swift 6.3), so that generic code there (`max`, `<=`, `Optional`'s `==`) calls through
/// witness tables; this flag shows it. Not for modules with classes: it shows their fields too, and then each
/// access to one is checked for exclusivity at run time, since another module might be in the midst of one.
func values(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(
        name: name, dependencies: dependencies,
        swiftSettings: settings + [.unsafeFlags(["-enable-testing"], .when(configuration: .release))])
}

func program(_ name: String, at path: String? = nil, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(name: name, dependencies: dependencies, path: path, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: name, dependencies: dependencies, swiftSettings: settings)
}

/// What runs the properties of Tests/FuzzProperties under libFuzzer.
let fuzzer: [Target] = [
    .executableTarget(
        name: "FuzzDriver", dependencies: ["FuzzProperties"], path: "Tests/FuzzDriver",
        swiftSettings: settings,
        linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])])
]

let package = Package(
    name: "martlet",
    products: [.library(name: "MartletClient", targets: ["MartletClient"])],
    targets: [
        // Floor 7: programs.
        program(
            "martletd",
            [
                "MartletBase", "MartletConfig", "MartletGossip", "MartletLoop", "MartletNode", "MartletRing",
                "MartletRocksDB", "MartletRuntime", "MartletServer", "MartletStorage", "MartletVersions",
            ]),
        program(
            "martlet",
            ["MartletBase", "MartletConfig", "MartletRESP", "MartletRing", "MartletVersions"]),
        tests("MartletCLITests", ["MartletBase", "MartletConfig", "MartletRESP", "MartletRing", "martlet"]),
        program("martlet-sim", ["MartletBase", "MartletNode", "MartletSimulator"]),
        program(
            "martlet-bench", at: "Benchmarks/martlet-bench",
            [
                "MartletBase", "MartletConfig", "MartletGossip", "MartletLoop", "MartletMerkle",
                "MartletNode", "MartletRESP", "MartletRing", "MartletRocksDB", "MartletSimulator",
                "MartletStorage", "MartletVersions", "MartletWire",
            ]),
        tests("MartletBenchTests", ["MartletBase", "MartletConfig", "MartletRESP", "martlet-bench"]),
        program("example-levels", at: "Examples/Levels", ["MartletClient"]),
        program("example-page-cache", at: "Examples/PageCache", ["MartletClient"]),
        program("example-sessions", at: "Examples/Sessions", ["MartletClient"]),
        program("example-shopping-cart", at: "Examples/ShoppingCart", ["MartletClient"]),

        // Floor 6: what clients talk to.
        module(
            "MartletServer",
            [
                "MartletBase", "MartletConfig", "MartletGossip", "MartletLoop", "MartletNode", "MartletRESP",
                "MartletRing", "MartletRuntime", "MartletStorage", "MartletVersions",
            ]),
        .target(
            name: "FakeServer",
            dependencies: ["MartletBase", "MartletNode", "MartletRing", "MartletServer", "MartletVersions"],
            path: "Tests/FakeServer", swiftSettings: settings),
        .target(
            name: "FuzzProperties",
            dependencies: [
                "FakeServer", "MartletBase", "MartletConfig", "MartletGossip", "MartletMerkle", "MartletNode",
                "MartletRESP", "MartletRing", "MartletServer", "MartletStorage", "MartletVersions",
                "MartletWire",
            ],
            path: "Tests/FuzzProperties", swiftSettings: settings),
        tests("FuzzCorpusTests", ["FuzzProperties"]),
        tests(
            "MartletServerTests",
            [
                "AllocationCounting", "FakeServer", "MartletBase", "MartletGossip", "MartletLoop",
                "MartletNode", "MartletRESP", "MartletRing", "MartletServer", "MartletVersions", "RealRedis",
            ]),

        // Floor 5: the real world, the simulated one, and the Swift client.
        module("MartletClient", ["MartletBase", "MartletLoop", "MartletRESP", "MartletRing"]),
        module(
            "MartletRuntime",
            [
                "MartletBase", "MartletLoop", "MartletNode", "MartletRing", "MartletStorage",
                "MartletVersions", "MartletWire",
            ]),
        module(
            "MartletSimulator",
            [
                "MartletBase", "MartletGossip", "MartletNode", "MartletRing", "MartletStorage",
                "MartletVersions", "MartletWire",
            ]),
        program("client-exercise", at: "Tests/ClientExercise", ["MartletClient"]),
        .target(name: "AllocationCounting", path: "Tests/AllocationCounting"),
        tests(
            "MartletClientTests",
            [
                "AllocationCounting", "MartletBase", "MartletClient", "MartletLoop", "MartletRESP",
                "MartletRing",
            ]),
        tests(
            "MartletRuntimeTests",
            [
                "MartletBase", "MartletGossip", "MartletLoop", "MartletNode", "MartletRing",
                "MartletRuntime", "MartletStorage", "MartletVersions", "MartletWire",
            ]),
        tests(
            "MartletSimulatorTests",
            [
                "MartletBase", "MartletGossip", "MartletNode", "MartletRing", "MartletSimulator",
                "MartletStorage", "MartletVersions",
            ]),

        // Floor 4: the pure machine.
        values(
            "MartletNode",
            [
                "MartletBase", "MartletGossip", "MartletMerkle", "MartletRing", "MartletStorage",
                "MartletVersions", "MartletWire",
            ]),
        tests(
            "MartletNodeTests",
            [
                "AllocationCounting", "MartletBase", "MartletGossip", "MartletMerkle", "MartletNode",
                "MartletRing", "MartletStorage", "MartletVersions", "MartletWire",
            ]),

        // Floor 3: codecs between nodes, the engine, the loop, the configuration.
        module("MartletConfig", ["CYAML", "MartletBase"]),
        module("MartletLoop", ["CUV", "MartletBase"]),
        module("MartletRocksDB", ["CRocksDB", "MartletBase", "MartletStorage"]),
        values("MartletWire", ["CLZ4", "MartletBase", "MartletMerkle", "MartletRing", "MartletVersions"]),
        tests("MartletConfigTests", ["MartletBase", "MartletConfig"]),
        tests("MartletLoopTests", ["MartletBase", "MartletLoop"]),
        tests(
            "MartletRocksDBTests",
            [
                "CRocksDB", "MartletBase", "MartletRocksDB", "MartletStorage", "StorageConformance",
            ]),
        tests("MartletWireTests", ["MartletBase", "MartletVersions", "MartletWire"]),

        // Floor 2: pure, each alone.
        values("MartletGossip", ["MartletBase"]),
        values("MartletMerkle", ["MartletBase"]),
        values("MartletRESP", ["MartletBase"]),
        values("MartletRing", ["MartletBase"]),
        values("MartletStorage", ["MartletBase"]),
        values("MartletVersions", ["MartletBase"]),
        tests("MartletGossipTests", ["MartletBase", "MartletGossip", "MartletSimulator"]),
        tests("MartletMerkleTests", ["MartletBase", "MartletMerkle"]),
        tests("MartletRESPTests", ["MartletBase", "MartletRESP", "RealRedis"]),
        tests("MartletRingTests", ["MartletBase", "MartletRing"]),
        .target(
            name: "RealRedis", dependencies: ["MartletBase"],
            path: "Tests/RealRedis", swiftSettings: settings),
        .target(
            name: "StorageConformance", dependencies: ["MartletBase", "MartletStorage"],
            path: "Tests/StorageConformance", swiftSettings: settings),
        tests("MartletStorageTests", ["MartletBase", "MartletStorage", "StorageConformance"]),
        tests("MartletVersionsTests", ["MartletBase", "MartletVersions"]),

        // Floor 1: instants, ids, random numbers, byte cursors, limits.
        values("MartletBase", ["CXXHash"]),
        tests("MartletBaseTests", ["MartletBase"]),

        // Floor 0: C headers.
        .systemLibrary(name: "CLZ4"),
        .systemLibrary(name: "CRocksDB"),
        .systemLibrary(name: "CUV"),
        .systemLibrary(name: "CXXHash"),
        .systemLibrary(name: "CYAML"),
    ] + (isFuzzing ? fuzzer : [])
)
