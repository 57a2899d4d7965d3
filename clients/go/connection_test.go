package mitosis

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTheConnectionIsFoundWhereTheCommandFindsIt(t *testing.T) {
	folder := t.TempDir()
	t.Chdir(folder)
	t.Setenv("HOME", filepath.Join(folder, "home"))
	for _, name := range []string{"MITOSIS_CONNECTION", "MITOSIS_DATA_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(name, "")
	}
	find := func(want string) {
		t.Helper()
		connection, err := FindConnection()
		if err != nil || connection.Address != want {
			t.Fatalf("got %v, %v, want %s", connection, err, want)
		}
	}
	if connection, err := FindConnection(); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "mitosis up") {
		t.Fatalf("got %v, %v", connection, err)
	}
	write(t, "home/.config/mitosis/credentials.json", `{"grpc": "home:1"}`)
	find("home:1")
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(folder, "xdg"))
	write(t, "xdg/mitosis/credentials.json", `{"grpc": "xdg:1"}`)
	find("xdg:1")
	write(t, ".mitosis/connection.json", `{"grpc": "up:1"}`)
	find("up:1")
	t.Setenv("MITOSIS_DATA_DIR", "data")
	write(t, "data/connection.json", `{"grpc": "data:1"}`)
	find("data:1")
	t.Setenv("MITOSIS_CONNECTION", "named.json")
	if _, err := FindConnection(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("a named file that is not there: %v", err)
	}
	write(t, "named.json", `{"grpc": "named:1"}`)
	find("named:1")
}

func TestAConnectionMakesAClient(t *testing.T) {
	coordinator, _ := pair(t)
	header(coordinator, "authorization")
	path := filepath.Join(t.TempDir(), "connection.json")
	write(t, path, `{"grpc": "127.0.0.1:50051", "token": "abc", "http": "http://127.0.0.1:8080"}`)
	connection, err := ReadConnection(path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := connection.NewClient(coordinator.dial())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if user, err := client.CurrentUser(t.Context()); err != nil || user.Username != "Bearer abc" {
		t.Errorf("got %v, %v", user, err)
	}
}

func TestAConnectionMayAllowPlainText(t *testing.T) {
	coordinator, _ := pair(t)
	header(coordinator, "authorization")
	path := filepath.Join(t.TempDir(), "connection.json")
	write(t, path, `{"grpc": "`+elsewhere+`", "token": "abc", "insecure": true}`)
	connection, err := ReadConnection(path)
	if err != nil {
		t.Fatal(err)
	}
	client, err := connection.NewClient(coordinator.dial())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if user, err := client.CurrentUser(t.Context()); err != nil || user.Username != "Bearer abc" {
		t.Errorf("got %v, %v", user, err)
	}
	connection.TLS = true
	if client, err := connection.NewClient(); !errors.Is(err, ErrInvalidField) {
		t.Errorf("with TLS: got %v, %v", client, err)
	}
}

func TestAConnectionThatCannotBeIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "connection.json")
	for _, text := range []string{"", "[]", "{}", `{"grpc": 7}`} {
		write(t, path, text)
		if connection, err := ReadConnection(path); err == nil {
			t.Errorf("%q: got %v", text, connection)
		}
	}
	for _, connection := range []Connection{
		{Address: loopback, RootCertificatesFile: path},
		{Address: loopback, CertificateFile: path, PrivateKeyFile: path},
		{Address: loopback, RootCertificatesFile: "nowhere.pem"},
	} {
		if client, err := connection.NewClient(); err == nil {
			t.Errorf("%v: got %v", connection, client)
		}
	}
}
