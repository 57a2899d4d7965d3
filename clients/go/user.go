package mitosis

import (
	"context"
	"iter"
	"time"

	mitosisv1 "github.com/mitosis-project/mitosis/generated/go/mitosis/v1"
)

// GroupRole says what a user may do in a group. Each role includes the ones before it.
type GroupRole string

// The roles of a user.
const (
	// RoleViewer sees suites, tasks and managers.
	RoleViewer GroupRole = "Viewer"
	// RoleMember creates and controls suites and tasks.
	RoleMember GroupRole = "Member"
	// RoleAdmin registers and controls managers and changes memberships.
	RoleAdmin GroupRole = "Admin"
)

var groupRoles = newEnum[GroupRole](mitosisv1.GroupRole(0).Descriptor())

// UserMembership is one user's role in one group.
type UserMembership struct {
	GroupName string
	Role      GroupRole
}

func decodeUserMembership(membership *mitosisv1.UserMembership) UserMembership {
	return UserMembership{
		GroupName: membership.GetGroupName(),
		Role:      groupRoles.decode(membership.GetRole().Number()),
	}
}

// User is a person or a program that logs in.
type User struct {
	UUID     string
	Username string
	// IsAdmin lets the user do everything, everywhere.
	IsAdmin bool
	// Disabled users cannot log in, and their tokens are refused.
	Disabled    bool
	Memberships []UserMembership
	CreatedAt   time.Time
}

func decodeUser(user *mitosisv1.User) *User {
	return &User{
		UUID:        user.GetUuid(),
		Username:    user.GetUsername(),
		IsAdmin:     user.GetIsAdmin(),
		Disabled:    user.GetDisabled(),
		Memberships: mapped(user.GetMemberships(), decodeUserMembership),
		CreatedAt:   decodeTime(user.GetCreatedAt()),
	}
}

// GroupMember is one member of a group.
type GroupMember struct {
	Username string
	Role     GroupRole
}

func decodeGroupMember(member *mitosisv1.GroupMember) GroupMember {
	return GroupMember{Username: member.GetUsername(), Role: groupRoles.decode(member.GetRole().Number())}
}

// Group owns suites and tasks.
type Group struct {
	UUID string
	Name string
	// Members are filled by all methods but [Client.ListGroups].
	Members   []GroupMember
	CreatedAt time.Time
}

func decodeGroup(group *mitosisv1.Group) *Group {
	return &Group{
		UUID:      group.GetUuid(),
		Name:      group.GetGroupName(),
		Members:   mapped(group.GetMembers(), decodeGroupMember),
		CreatedAt: decodeTime(group.GetCreatedAt()),
	}
}

// Login is a user's token and when it ends.
type Login struct {
	Token     Secret
	ExpiresAt time.Time
	User      *User
}

// Login gives a token for user name and password. It does not change this client: make another one with
// WithToken(string(login.Token)). It is not repeated, since every attempt counts.
//
// Errors: [ErrInvalidCredentials], [ErrLimitExceeded] (too many attempts).
func (c *Client) Login(ctx context.Context, username, password string) (*Login, error) {
	answer, err := c.auth.Login(ctx, &mitosisv1.LoginRequest{Username: username, Password: password})
	if err != nil {
		return nil, err
	}
	return &Login{
		Token:     Secret(answer.GetToken()),
		ExpiresAt: decodeTime(answer.GetExpiresAt()),
		User:      decodeUser(answer.GetUser()),
	}, nil
}

// CurrentUser returns the user of this client's token, with all memberships.
//
// Errors: [ErrInvalidToken], [ErrWrongTokenKind].
func (c *Client) CurrentUser(ctx context.Context) (*User, error) {
	answer, err := c.auth.GetCurrentUser(ctx, &mitosisv1.GetCurrentUserRequest{})
	if err != nil {
		return nil, err
	}
	return decodeUser(answer.GetUser()), nil
}

// ChangePassword changes the caller's own password and ends all tokens given before, this client's included.
//
// Errors: [ErrInvalidField], [ErrInvalidCredentials].
func (c *Client) ChangePassword(ctx context.Context, currentPassword, newPassword string) error {
	_, err := c.auth.ChangePassword(ctx, &mitosisv1.ChangePasswordRequest{
		CurrentPassword: currentPassword,
		NewPassword:     newPassword,
	})
	return err
}

// RevokeTokens ends all tokens that the caller was given, this client's included.
//
// Errors: [ErrInvalidToken], [ErrWrongTokenKind].
func (c *Client) RevokeTokens(ctx context.Context) error {
	_, err := c.auth.RevokeTokens(ctx, &mitosisv1.RevokeTokensRequest{})
	return err
}

// UserSpec describes a user to be created.
type UserSpec struct {
	Username string
	Password string
	IsAdmin  bool
}

// CreateUser creates a user.
//
// Errors: [ErrInvalidField], [ErrAlreadyExists], [ErrPermissionDenied].
func (c *Client) CreateUser(ctx context.Context, spec UserSpec) (*User, error) {
	answer, err := c.admin.CreateUser(ctx, &mitosisv1.CreateUserRequest{
		Username: spec.Username,
		Password: spec.Password,
		IsAdmin:  spec.IsAdmin,
	})
	if err != nil {
		return nil, err
	}
	return decodeUser(answer.GetUser()), nil
}

// ListUsers returns all users by name. It reads a page when the one before is used up. An error is the last thing that it
// yields.
//
// Errors: [ErrPermissionDenied].
func (c *Client) ListUsers(ctx context.Context) iter.Seq2[*User, error] {
	return pages(func(token string) ([]*mitosisv1.User, string, error) {
		page, err := c.admin.ListUsers(ctx, &mitosisv1.ListUsersRequest{PageToken: token})
		return page.GetUsers(), page.GetNextPageToken(), err
	}, decodeUser)
}

// UserChanges are the fields of a user to be changed; nil leaves a field as it is. Disabling, or a new password, ends all
// tokens of the user.
type UserChanges struct {
	Password *string
	Disabled *bool
	IsAdmin  *bool
}

// UpdateUser changes a user and returns it.
//
// Errors: [ErrInvalidField], [ErrNotFound], [ErrPermissionDenied], [ErrWrongState] (last administrator).
func (c *Client) UpdateUser(ctx context.Context, username string, changes UserChanges) (*User, error) {
	answer, err := c.admin.UpdateUser(ctx, &mitosisv1.UpdateUserRequest{
		Username: username,
		Password: changes.Password,
		Disabled: changes.Disabled,
		IsAdmin:  changes.IsAdmin,
	})
	if err != nil {
		return nil, err
	}
	return decodeUser(answer.GetUser()), nil
}

// RevokeUserTokens ends all tokens that a user was given, and returns the user, who may log in again.
//
// Errors: [ErrNotFound], [ErrPermissionDenied].
func (c *Client) RevokeUserTokens(ctx context.Context, username string) (*User, error) {
	answer, err := c.admin.RevokeUserTokens(ctx, &mitosisv1.RevokeUserTokensRequest{Username: username})
	if err != nil {
		return nil, err
	}
	return decodeUser(answer.GetUser()), nil
}

// CreateGroup creates a group, with the caller as its Admin.
//
// Errors: [ErrInvalidField], [ErrAlreadyExists], [ErrPermissionDenied].
func (c *Client) CreateGroup(ctx context.Context, name string) (*Group, error) {
	answer, err := c.admin.CreateGroup(ctx, &mitosisv1.CreateGroupRequest{GroupName: name})
	if err != nil {
		return nil, err
	}
	return decodeGroup(answer.GetGroup()), nil
}

// GetGroup returns one group with its members.
//
// Errors: [ErrNotFound].
func (c *Client) GetGroup(ctx context.Context, name string) (*Group, error) {
	answer, err := c.admin.GetGroup(ctx, &mitosisv1.GetGroupRequest{GroupName: name})
	if err != nil {
		return nil, err
	}
	return decodeGroup(answer.GetGroup()), nil
}

// ListGroups returns the groups that the caller is in, all of them for an administrator, by name. It reads a page when
// the one before is used up. An error is the last thing that it yields.
func (c *Client) ListGroups(ctx context.Context) iter.Seq2[*Group, error] {
	return pages(func(token string) ([]*mitosisv1.Group, string, error) {
		page, err := c.admin.ListGroups(ctx, &mitosisv1.ListGroupsRequest{PageToken: token})
		return page.GetGroups(), page.GetNextPageToken(), err
	}, decodeGroup)
}

// SetMember puts a user into a group or changes the role, and returns the group.
//
// Errors: [ErrInvalidField], [ErrNotFound], [ErrPermissionDenied].
func (c *Client) SetMember(ctx context.Context, groupName, username string, role GroupRole) (*Group, error) {
	var found violations
	request := &mitosisv1.SetMemberRequest{
		GroupName: groupName,
		Username:  username,
		Role:      mitosisv1.GroupRole(groupRoles.encode(&found, "role", role)),
	}
	if err := found.err(); err != nil {
		return nil, err
	}
	answer, err := c.admin.SetMember(ctx, request)
	if err != nil {
		return nil, err
	}
	return decodeGroup(answer.GetGroup()), nil
}

// RemoveMember takes a user out of a group and returns the group.
//
// Errors: [ErrNotFound] (group), [ErrPermissionDenied].
func (c *Client) RemoveMember(ctx context.Context, groupName, username string) (*Group, error) {
	answer, err := c.admin.RemoveMember(ctx, &mitosisv1.RemoveMemberRequest{GroupName: groupName, Username: username})
	if err != nil {
		return nil, err
	}
	return decodeGroup(answer.GetGroup()), nil
}
