// Reads an object for each line "BUCKET KEY" of its standard input; says "ok", or what went wrong.
import { createInterface } from "node:readline";
import { GetObjectCommand, S3Client } from "@aws-sdk/client-s3";

const client = new S3Client({ forcePathStyle: true });

for await (const line of createInterface({ input: process.stdin })) {
  const [Bucket, Key] = line.split(" ");
  try {
    const answer = await client.send(new GetObjectCommand({ Bucket, Key }));
    await answer.Body.transformToByteArray();
    console.log("ok");
  } catch (error) {
    console.log(`${error.name}: ${error.message}`.replaceAll("\n", " "));
  }
}
