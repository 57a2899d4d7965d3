package mitosis

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Connection says how to reach a coordinator, as the files of `mitosis up` and `mitosis login` do.
type Connection struct {
	// Address is host:port of the gRPC server.
	Address  string `json:"grpc"`
	Token    Secret `json:"token"`
	Username string `json:"username"`
	// TLS encrypts the connection; naming one of the files below does too.
	TLS bool `json:"tls"`
	// RootCertificatesFile, CertificateFile and PrivateKeyFile are paths of PEM files.
	RootCertificatesFile string `json:"root_certificates_file"`
	CertificateFile      string `json:"certificate_file"`
	PrivateKeyFile       string `json:"private_key_file"`
	// Insecure allows plain text to addresses that are not loopback.
	Insecure bool `json:"insecure"`
}

// FindConnection returns the connection that the mitosis command uses too, the first there is of: the file named by
// MITOSIS_CONNECTION; connection.json in MITOSIS_DATA_DIR or, where that is not set, in .mitosis; the credentials of
// `mitosis login` in the user's configuration directory. With none the error matches [fs.ErrNotExist].
func FindConnection() (*Connection, error) {
	if named := os.Getenv("MITOSIS_CONNECTION"); named != "" {
		return ReadConnection(named)
	}
	candidates := []string{filepath.Join(cmp.Or(os.Getenv("MITOSIS_DATA_DIR"), ".mitosis"), "connection.json")}
	configuration := os.Getenv("XDG_CONFIG_HOME")
	if home, err := os.UserHomeDir(); configuration == "" && err == nil {
		configuration = filepath.Join(home, ".config")
	}
	if configuration != "" {
		candidates = append(candidates, filepath.Join(configuration, "mitosis", "credentials.json"))
	}
	for _, path := range candidates {
		if connection, err := ReadConnection(path); !errors.Is(err, fs.ErrNotExist) {
			return connection, err
		}
	}
	return nil, fmt.Errorf("mitosis: no coordinator is known: start one with `mitosis up`, or log in with "+
		"`mitosis login`; looked for %q: %w", candidates, fs.ErrNotExist)
}

// ReadConnection reads a connection from a file.
func ReadConnection(path string) (*Connection, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("mitosis: %w", err)
	}
	var connection Connection
	if err := json.Unmarshal(text, &connection); err != nil {
		return nil, fmt.Errorf("mitosis: %s is not a connection file: %w", path, err)
	}
	if connection.Address == "" {
		return nil, fmt.Errorf("mitosis: %s has no field grpc", path)
	}
	return &connection, nil
}

// NewClient returns a client of the connection's coordinator; further options win.
func (c *Connection) NewClient(options ...Option) (*Client, error) {
	own := []Option{WithToken(string(c.Token))}
	if c.Insecure {
		own = append(own, WithInsecure())
	}
	if c.TLS || c.RootCertificatesFile != "" {
		settings := &tls.Config{MinVersion: tls.VersionTLS12}
		if c.RootCertificatesFile != "" {
			text, err := os.ReadFile(c.RootCertificatesFile)
			if err != nil {
				return nil, fmt.Errorf("mitosis: root certificates: %w", err)
			}
			settings.RootCAs = x509.NewCertPool()
			if !settings.RootCAs.AppendCertsFromPEM(text) {
				return nil, fmt.Errorf("mitosis: %s holds no PEM certificate", c.RootCertificatesFile)
			}
		}
		own = append(own, WithTLS(settings))
	}
	if c.CertificateFile != "" || c.PrivateKeyFile != "" {
		certificate, err := tls.LoadX509KeyPair(c.CertificateFile, c.PrivateKeyFile)
		if err != nil {
			return nil, fmt.Errorf("mitosis: client certificate: %w", err)
		}
		own = append(own, WithClientCertificate(certificate))
	}
	return NewClient(c.Address, append(own, options...)...)
}
