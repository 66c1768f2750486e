// What an editor's plug-in does with the ssh2 package. The job comes as JSON on stdin; each scenario that worked is
// named on stdout, the first that did not ends it with its error on stderr.
"use strict";
const assert = require("node:assert/strict");
const { randomBytes } = require("node:crypto");
const { promisify } = require("node:util");
const { Client } = require("ssh2");

const job = JSON.parse(require("node:fs").readFileSync(0, "utf8"));

function connect(where, options) {
    const client = new Client();
    return new Promise((resolve, reject) => {
        client.on("ready", () => resolve(client)).on("error", reject);
        client.connect({
            username: job.user,
            privateKey: job.key,
            readyTimeout: 30000,
            hostVerifier: (key) => Object.values(job.keys[where]).includes(key.toString("base64")),
            ...options,
        });
    });
}

async function collect(stream) {
    const pieces = [];
    for await (const piece of stream) pieces.push(piece);
    return Buffer.concat(pieces);
}

async function exec(client) {
    const data = randomBytes(300000);
    const channel = await promisify(client.exec.bind(client))("cat; echo err >&2; exit 7");
    const exit = new Promise((resolve) => channel.on("exit", resolve));
    channel.end(data);
    const [out, err] = await Promise.all([collect(channel), collect(channel.stderr)]);
    assert.deepEqual(out, data);
    assert.equal(err.toString(), "err\n");
    assert.equal(await exit, 7);
}

async function shell(client) {
    const channel = await promisify(client.shell.bind(client))({ term: "xterm", rows: 25, cols: 81 });
    channel.setWindow(33, 99, 0, 0);
    channel.write("stty size; exit\n");
    assert.match((await collect(channel)).toString(), /33 99/);
}

async function sftp(client) {
    const data = randomBytes(300000);
    const session = await promisify(client.sftp.bind(client))();
    await promisify(session.writeFile.bind(session))("node-file", data);
    assert.deepEqual(await promisify(session.readFile.bind(session))("node-file"), data);
    await promisify(session.unlink.bind(session))("node-file");
    session.end();
}

async function directTcpip(client) {
    const channel = await promisify(client.forwardOut.bind(client))("127.0.0.1", 0, "127.0.0.1", job.echo);
    const answer = new Promise((resolve) => channel.once("data", resolve));
    channel.write("abc");
    assert.equal((await answer).toString(), "cba");
    channel.end();
}

async function forwardedTcpip(client) {
    const port = await promisify(client.forwardIn.bind(client))("127.0.0.1", 0);
    const heard = new Promise((resolve) =>
        client.once("tcp connection", (_, accept) => resolve(collect(accept()))));
    client.exec(`echo from the box > /dev/tcp/127.0.0.1/${port}`, (error) => assert.ifError(error));
    assert.equal((await heard).toString(), "from the box\n");
    await promisify(client.unforwardIn.bind(client))("127.0.0.1", port);
}

async function main() {
    const gateway = await connect("gateway", { host: "127.0.0.1", port: job.port });
    let client = gateway;
    if (job.door === "jump") {
        const sock = await promisify(gateway.forwardOut.bind(gateway))("127.0.0.1", 0, job.box, 22);
        client = await connect("box", { sock });
    }
    const scenarios = { exec, shell, sftp, "direct-tcpip": directTcpip, "forwarded-tcpip": forwardedTcpip };
    for (const [name, scenario] of Object.entries(scenarios)) {
        await scenario(client);
        console.log(name);
    }
    client.end();
    gateway.end();
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
