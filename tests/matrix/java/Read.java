import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.URI;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.http.urlconnection.UrlConnectionHttpClient;
import software.amazon.awssdk.services.s3.S3Client;

/** Reads an object for each line "BUCKET KEY" of its standard input; says "ok", or what went wrong. */
final class Read {
    public static void main(String[] arguments) throws java.io.IOException {
        S3Client client = S3Client.builder()
                .httpClientBuilder(UrlConnectionHttpClient.builder())
                .endpointOverride(URI.create(System.getenv("AWS_ENDPOINT_URL_S3")))
                .forcePathStyle(true)
                .build();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ");
            try {
                client.getObjectAsBytes(request -> request.bucket(words[0]).key(words[1]));
                System.out.println("ok");
            } catch (SdkException error) {
                System.out.println(error.toString().replace('\n', ' '));
            }
        }
    }
}
