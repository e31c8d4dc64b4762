// Calls `chancery.test.Backend/Name` at the target given, ten times a second, until it is killed. A line per call:
// `ok NAME`, or `error CODE MESSAGE`.
'use strict';

// The packages are installed apart from the sources.
const { createRequire } = require('module');
const packages = createRequire(process.env.CLIENT_PACKAGES);
const grpc = packages('@grpc/grpc-js');
packages('@grpc/grpc-js-xds').register();

console.log(`version grpc-js-xds ${packages('@grpc/grpc-js-xds/package.json').version}`);
const client = new grpc.Client(process.argv[2], grpc.credentials.createInsecure());

// google.protobuf.Empty in, google.protobuf.StringValue out.
function call() {
  const deadline = new Date(Date.now() + 10000);
  const empty = () => Buffer.alloc(0);
  const name = (message) => message.subarray(2).toString();
  client.makeUnaryRequest('/chancery.test.Backend/Name', empty, name, null, { deadline }, (error, answer) => {
    console.log(error ? `error ${grpc.status[error.code]} ${error.details.replace(/\s+/g, ' ')}` : `ok ${answer}`);
    setTimeout(call, 100);
  });
}

call();
