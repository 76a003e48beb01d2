// Runs the official JavaScript client: takes one call a line as JSON, gives its result or error back. Most functions take one
// object; {"positions": [...]} is for those that do not.
// The only argument is the folder whose node_modules holds the client.

const crypto = require("node:crypto");
const readline = require("node:readline");
const { createRequire } = require("node:module");

const hub = createRequire(`${process.argv[2]}/package.json`)("@huggingface/hub");

console.debug = () => {};
console.log = console.info = console.error; // the answers alone go to the standard output

async function plain(value) {
    if (value instanceof Blob) {
        const digest = crypto.createHash("sha256");
        for await (const piece of value.stream()) {
            digest.update(piece);
        }
        return { size: value.size, sha256: digest.digest("hex") };
    }
    if (value && typeof value[Symbol.asyncIterator] === "function") {
        const items = [];
        for await (const item of value) {
            items.push(item);
        }
        return items;
    }
    return value === undefined ? null : value;
}

async function answer(line) {
    const asked = JSON.parse(line);
    try {
        return { result: await plain(await hub[asked.call](...(asked.arguments.positions ?? [asked.arguments]))) };
    } catch (error) {
        return { error: { classes: [error.constructor.name], message: error.message, status: error.statusCode ?? null } };
    }
}

async function main() {
    for await (const line of readline.createInterface({ input: process.stdin })) {
        process.stdout.write(`${JSON.stringify(await answer(line), (_, value) => (value instanceof Error ? value.message : value))}\n`);
    }
}

main();
