import Foundation
import PackagePlugin

/// Writes the SQL of `schema/` into the program, so that an installed binary needs no source tree.
@main
struct EmbedSchema: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) async throws -> [Command] {
        let package = context.package.directoryURL
        let script = package.appending(path: "scripts/embed-schema.sh")
        let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedMigrations.swift")
        let schema = package.appending(path: "schema")
        let migrations = try FileManager.default.contentsOfDirectory(at: schema, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "sql" }
        return [
            .buildCommand(
                displayName: "Embedding the schema",
                executable: script,
                arguments: [output.path],
                inputFiles: migrations + [script],
                outputFiles: [output]
            )
        ]
    }
}
